"""Compute Engine market: prices summed from their parts, types, interruptions."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Offer
from tests.emulators.gcp import (
    HISTORY,
    MACHINE_TYPES,
    SKUS,
    GcpEmulator,
    fault,
    refused,
)
from tests.emulators.gcp_cloud import cloud_at, offer

US_A, US_B, EUROPE, EAST = "us-central1-a", "us-central1-b", "europe-west4-a", "us-east4-a"


@pytest.fixture(scope="module")
def market() -> Market:
    with GcpEmulator() as emulator:
        return cloud_at(emulator.url).market()


@pytest.fixture(scope="module")
def found(market: Market) -> dict[tuple[str, str], Offer]:
    return {(one.instance_type, str(one.zone)): one for one in offers_of(market.frame)}


@pytest.mark.parametrize(
    ("instance_type", "zone", "usd_h"),
    [
        ("n1-standard-4", US_A, 4 * 0.007 + 15 * 0.001),
        ("n2-standard-4", US_A, 4 * 0.01 + 16 * 0.002),
        ("n2-standard-4", EUROPE, 4 * 0.01 + 16 * 0.002),
        ("n2d-standard-4", US_A, 4 * 0.006 + 16 * 0.001),  # last price of a timeline, first tier that is not free
        ("n2-standard-4", EAST, 4 * 0.011 + 16 * 0.003),  # two names for one place: the higher price of each part
        ("e2-micro", US_A, 0.25 * 0.008 + 1 * 0.001),
        ("e2-small", US_A, 0.5 * 0.008 + 2 * 0.001),
        ("e2-medium", US_A, 1 * 0.008 + 4 * 0.001),
        ("f1-micro", US_A, 0.0012),
        ("g1-small", US_A, 0.0024),
        ("c2-standard-8", US_A, 8 * 0.02 + 32 * 0.003),
        ("c3-standard-8-lssd", US_A, 8 * 0.012 + 32 * 0.001 + 2 * 375 * 0.0292 / 730),
        ("c4-standard-4-lssd", US_A, 4 * 0.013 + 15 * 0.001 + 375 * 0.0365 / 730),
        ("c4-standard-288-lssd-metal", US_A, 288 * 0.013 + 1080 * 0.001 + 18_000 * 0.0365 / 730),
        ("c4d-standard-8", US_A, 8 * 0.014 + 31 * 0.001 * 1.073741824),
        ("z3-highmem-14-standardlssd", US_A, 14 * 0.016 + 112 * 0.001 + 3000 * 0.0292 / 730),
        ("a2-highgpu-1g", US_A, 12 * 0.02 + 85 * 0.002 + 0.9),
        ("a2-ultragpu-1g", US_A, 12 * 0.02 + 170 * 0.002 + 1.5 + 375 * 0.0292 / 730),
        ("a3-megagpu-8g", US_A, 208 * 0.015 + 1872 * 0.0013 + 8 * 4.0 + 16 * 375 * 0.0292 / 730),
        ("g2-standard-4", US_A, 4 * 0.01 + 16 * 0.001 + 0.28),
        ("g4-standard-12", US_A, 12 * 0.01 + 45 * 0.001 + 0.25 * 1.2),
        ("m4-ultramem-112", US_A, 112 * 0.02 + 2976 * 0.001),
        ("m4-ultramem-224", US_A, 224 * 0.03 + 5952 * 0.002),
    ],
)
def test_price_is_the_sum_of_its_parts(
    found: dict[tuple[str, str], Offer], instance_type: str, zone: str, usd_h: float
) -> None:
    assert found[instance_type, zone].spot_usd_h == pytest.approx(usd_h, rel=1e-9)


def test_on_demand_price_is_a_sum_too_and_unknown_without_a_part(found: dict[tuple[str, str], Offer]) -> None:
    assert found["n2-standard-4", US_A].on_demand_usd_h == pytest.approx(4 * 0.072)
    assert found["g2-standard-4", US_A].on_demand_usd_h == pytest.approx(4 * 0.336)
    assert found["n2d-standard-4", US_A].on_demand_usd_h is None


@pytest.mark.parametrize(
    ("instance_type", "expected"),
    [
        ("n2-standard-4", {"family": "n2", "vcpus": 4, "cores": 2, "memory_gib": 16, "architecture": "x86_64"}),
        ("n1-standard-4", {"architecture": "x86_64", "gpu": None, "gpu_count": 0}),
        ("c4a-standard-4", {"cores": 4, "architecture": "arm64"}),
        ("t2a-standard-4", {"cores": 4, "architecture": "arm64"}),
        ("t2d-standard-4", {"cores": 4, "architecture": "x86_64"}),
        ("e2-micro", {"vcpus": 2, "burstable": True}),
        ("f1-micro", {"family": "f1", "burstable": True}),
        ("c3-standard-192-metal", {"family": "c3", "bare_metal": True, "boot_s": 600}),
        ("a2-highgpu-1g", {"family": "a2", "gpu": "A100", "gpu_count": 1, "gpu_memory_gib": 40}),
        ("a2-ultragpu-1g", {"family": "a2", "gpu": "A100 80GB", "gpu_count": 1, "gpu_memory_gib": 80}),
        ("a3-megagpu-8g", {"gpu": "H100", "gpu_count": 8, "gpu_memory_gib": 80}),
        ("g4-standard-12", {"gpu": "RTX PRO 6000", "gpu_count": 0.25, "gpu_memory_gib": 24}),
        ("m4-ultramem-224", {"family": "m4", "interruption": "unknown", "notice_s": 30, "zone_id": None}),
        ("n2-standard-4", {"gpu_memory_gib": None, "interruptions_per_h": None, "interruption_basis": None}),
    ],
)
def test_shape_of_a_type(found: dict[tuple[str, str], Offer], instance_type: str, expected: dict[str, Any]) -> None:
    assert found[instance_type, US_A].model_dump(include=set(expected)) == expected


def test_dropped_types_are_counted_by_reason(market: Market, found: dict[tuple[str, str], Offer]) -> None:
    assert market.dropped == {
        "gcp: deprecated machine type": 5,
        "gcp: family without known SKUs": 4,
        "gcp: GPU not named": 1,
        "gcp: GPU without known SKUs": 1,
        "gcp: local SSD of unknown size": 1,
        "gcp: shared-core type of unknown share": 1,
        "gcp: no spot SKU for its core": 1,
        "gcp: no spot SKU for its RAM": 1,
        "gcp: no spot SKU for its GPU": 1,
        "gcp: no spot SKU for its local SSD": 4,
        "gcp: SKU without a price": 2,
        "gcp: SKU in an unknown unit": 1,
        "gcp: SKU in another currency": 1,
        "gcp: price above 1.2 times on-demand": 1,
    }
    assert market.missing == {}
    for lacking in ("g2-standard-4", "n2d-standard-4", "c3-standard-8-lssd"):
        assert (lacking, US_A) in found
        assert (lacking, EUROPE) not in found


def test_all_pages_of_the_lists_are_read(google: GcpEmulator, market: Market) -> None:
    google.most_types, google.most_skus = 7, 20
    paged = cloud_at(google.url).market()
    assert paged.frame.drop("seen_at").equals(market.frame.drop("seen_at"))
    assert paged.dropped == market.dropped
    rows = sum(len(rows) for rows in google.world.zones.values())
    assert len([call for call in google.calls if call.startswith(MACHINE_TYPES)]) == -(-rows // 7)
    assert len([call for call in google.calls if call.startswith(SKUS)]) == -(-len(google.world.skus) // 20)


def test_catalogue_saves_reading_the_machine_types(google: GcpEmulator, market: Market) -> None:
    cloud = cloud_at(google.url)
    kept = pickle.loads(pickle.dumps(cloud.catalogue()))
    assert google.calls == ["machineTypes"]
    again = cloud.market(kept)
    assert google.calls == ["machineTypes", "skus"]
    assert again.frame.drop("seen_at").equals(market.frame.drop("seen_at"))
    assert again.dropped == market.dropped


def test_only_the_wanted_regions(google: GcpEmulator) -> None:
    wanted = cloud_at(google.url, regions=["us-east4", "mars-north1"]).market()
    assert set(wanted.frame["zone"]) == {EAST}
    assert wanted.missing == {"gcp mars-north1": "no machine types there; check its name"}


def test_progress_ends_with_all_calls_done(google: GcpEmulator) -> None:
    google.most_types, google.most_skus = 20, 60
    reports: list[tuple[int, int]] = []
    cloud_at(google.url).market(tell=lambda done, total: reports.append((done, total)))
    assert reports[-1] == (len(google.calls), len(google.calls))
    assert [done for done, _ in reports] == list(range(1, len(google.calls) + 1))
    assert all(done <= total for done, total in reports)


def test_interruption_rate_is_the_mean_of_the_last_week(google: GcpEmulator) -> None:
    offers = [
        offer("n2-standard-4", US_A),  # 4 % in the last week, 90 % before
        offer("n2-standard-8", US_A),
        offer("e2-standard-2", US_A),
        offer("n1-standard-4", US_A),  # no days
        offer("n2-standard-4", US_B),  # no history
        offer().model_copy(update={"zone": None}),
    ]
    rates = cloud_at(google.url).interruptions(offers)
    # Shares of the machines that stopped; each is assumed to have run for 8.2 h, which Google does not publish.
    assert {pool: rate.per_h for pool, rate in rates.items()} == {
        ("gcp", "n2-standard-4", US_A): pytest.approx(0.04 / 8.2),
        ("gcp", "n2-standard-8", US_A): pytest.approx(0.1 / 8.2),
        ("gcp", "e2-standard-2", US_A): pytest.approx(0.3 / 8.2),
    }
    basis = "4 % of the spot VMs that stopped in 7 days were preempted; assumed to have run 8.2 h each"
    assert rates["gcp", "n2-standard-4", US_A].basis == f"Compute Engine history: {basis}"


def test_share_above_one_is_ignored(google: GcpEmulator) -> None:
    google.world.preemption_rates["n2-standard-4", US_A] = [0.1, 7.0]
    assert cloud_at(google.url).interruptions([offer("n2-standard-4", US_A)]) == {}


def test_interruptions_are_read_for_at_most_ten_offers(google: GcpEmulator) -> None:
    google.fail(fault(HISTORY, refused(403)))
    offers = [offer(f"n2-standard-{size}", US_A) for size in range(15)]
    assert cloud_at(google.url).interruptions(offers) == {}
    assert len(google.calls) == 10
