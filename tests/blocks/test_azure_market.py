"""Azure market, read with the real SDK from an emulator."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import pytest

from spotwave.blocks.azure.market import AT_MOST
from spotwave.blocks.market import offers_of
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import BY_NAME, block, emulated, public, rows
from tests.emulators.azure_world import big_world, small_world


def test_every_usable_size_is_offered_in_every_zone(azure: AzureEmulator) -> None:
    market = block(azure).market()

    # Sixteen sizes minus the one without spot; the first region has two more, one of them in two zones.
    assert dict(market.frame.group_by("region").len().iter_rows()) == {
        "eastus": 15 * 3 + 3 + 2,
        "westeurope": 15 * 3,
        "brazilsouth": 15,
    }
    assert market.missing == {}
    assert len(offers_of(market.frame)) == len(market)


def test_offer_has_all_fields(azure: AzureEmulator) -> None:
    market = block(azure, "eastus").market()
    offer = offers_of(rows(market, "Standard_D2s_v5"))[0]

    assert (offer.cloud, offer.region, offer.zone, offer.zone_id) == ("azure", "eastus", "eastus-1", None)
    assert (offer.family, offer.vcpus, offer.cores, offer.memory_gib) == ("Dsv5", 2, 1.0, 8.0)
    assert (offer.spot_usd_h, offer.on_demand_usd_h) == pytest.approx((0.0192, 0.096))
    assert (offer.interruption, offer.interruptions_per_h, offer.notice_s) == ("medium", 0.025, 30.0)
    assert offer.interruption_basis == "Azure Resource Graph: 0-5 % evicted per hour; its middle"
    assert offer.gpu_memory_gib is None
    assert (offer.gpu, offer.gpu_count, offer.burstable, offer.bare_metal) == (None, 0.0, False, False)
    assert offer.disk_usd_gib_month > 0
    assert offer.ip_usd_h > 0
    assert offer.egress_usd_gib > 0


def test_interruption_rate_is_the_middle_of_the_band(azure: AzureEmulator) -> None:
    azure.world.evictions += [("standard_f4s_v2", "eastus", "15-20"), ("standard_l8s_v3", "eastus", "a new bucket")]
    market = block(azure, "eastus").market()
    columns = market.frame.select("instance_type", "interruptions_per_h", "interruption").unique()
    rates = {name: (per_h, word) for name, per_h, word in columns.iter_rows()}

    assert rates["Standard_D2s_v5"] == (0.025, "medium")
    assert rates["Standard_D4as_v5"] == (0.125, "high")
    assert rates["Standard_E8-4ds_v5"] == (0.6, "high")
    assert rates["Standard_F4s_v2"] == (0.175, "high")
    assert rates["Standard_L8s_v3"] == (None, "unknown")
    assert rates["Standard_D2s_v3"] == (None, "unknown")


def test_special_rows_of_the_lists_are_counted_by_reason(azure: AzureEmulator) -> None:
    market = block(azure, "eastus").market()

    assert market.dropped == {
        "azure: Windows": 16,
        "azure: Cloud Services": 1,
        "azure: dedicated host": 1,
        "azure: no size named": 1,
        "azure: not priced by the hour": 1,
        "azure: older price of the same size": 1,
        "azure: price no longer in force": 1,
        "azure: price not yet in force": 1,
        "azure: price of zero or less": 1,
        "azure: a size that cannot be deployed as spot": 1,
        "azure: a size listed without vCPUs or memory": 1,
        "azure: not among the sizes of its region": 1,
        "azure: not available for this subscription": 1,
        "azure: zone not available for this subscription": 1,
    }
    # Any spelling in the price list, and without the zone that the subscription may not use.
    assert rows(market, "Standard_DS14_v2")["zone"].to_list() == ["eastus-1", "eastus-2"]
    assert rows(market, "Standard_NV6ads_A10_v5")["gpu_count"].to_list() == pytest.approx([1 / 6] * 3)
    assert rows(market, "Standard_M8-2ms")["vcpus"].to_list() == [2, 2, 2]


def test_catalogue_saves_all_calls_except_prices(azure: AzureEmulator) -> None:
    cloud = block(azure)
    catalogue = pickle.loads(pickle.dumps(cloud.catalogue()))
    azure.calls.clear()
    market = cloud.market(catalogue)

    assert sorted(azure.calls) == ["spot brazilsouth", "spot eastus", "spot westeurope"]
    whole = cloud.market()
    assert (
        market.frame.drop("seen_at")
        .sort("region", "instance_type", "zone")
        .equals(whole.frame.drop("seen_at").sort("region", "instance_type", "zone"))
    )
    assert (market.dropped, market.missing) == (whole.dropped, whole.missing)


def test_one_login_serves_all_calls(azure: AzureEmulator) -> None:
    block(azure).catalogue()

    assert Counter(azure.calls)["login"] == 1


def test_pages_are_followed_to_the_end(azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = block(azure).market()
    azure.calls.clear()
    small = replace(small_world(), items_a_page=7, skus_a_page=4, rows_a_page=2)
    with emulated(monkeypatch, AzureEmulator(small)) as paged:
        market = block(paged).market()

    columns = ["region", "instance_type", "zone"]
    assert market.frame.drop("seen_at").sort(columns).equals(whole.frame.drop("seen_at").sort(columns))
    assert Counter(paged.calls)["graph"] == 5
    assert Counter(paged.calls)["skus westeurope"] == 5
    assert Counter(paged.calls)["spot westeurope"] == 5


def test_progress_is_reported(azure: AzureEmulator) -> None:
    reports: list[tuple[int, int]] = []
    block(azure).market(tell=lambda done, total: reports.append((done, total)))

    assert reports == [(done, 10) for done in range(1, 11)]


def test_without_credentials_shapes_come_from_names(azure: AzureEmulator) -> None:
    market = public(azure).market()

    assert not {"login", "graph", "skus"} & {call.partition(" ")[0] for call in azure.calls}
    assert market.missing == {"azure sizes": BY_NAME}
    assert market.frame["zone"].null_count() == len(market)
    assert set(market.frame["interruption"]) == {"unknown"}
    # M, HB and B of v1 in each region; in the first also D14, DS14, G5, NP10s and X9.
    assert market.dropped["azure: shape unknown without credentials"] == 3 * 3 + 5
    with_account = block(azure).market()
    shape = ["vcpus", "cores", "memory_gib", "architecture", "burstable", "on_demand_usd_h"]
    columns = [*shape, "gpu", "gpu_count", "gpu_memory_gib"]
    for size in market.frame["instance_type"].unique():
        assert rows(market, size).select(columns).rows() == rows(with_account, size).select(columns).unique().rows()


def test_catalogue_without_credentials(azure: AzureEmulator) -> None:
    cloud = public(azure, "westeurope")
    market = cloud.market(cloud.catalogue())

    assert set(market.frame["region"]) == {"westeurope"}
    assert market.missing == {"azure sizes": BY_NAME}


@pytest.mark.thorough
def test_large_market_is_read_with_limited_concurrency() -> None:
    with AzureEmulator(big_world(regions=12, sizes=520), latency_s=0.005) as azure:
        market = public(azure).market()

    assert market.frame["region"].n_unique() == 12
    assert Counter(azure.calls)["spot region0"] == 2  # 1,042 rows
    assert market.missing == {"azure sizes": BY_NAME}
    assert azure.most_at_once <= AT_MOST


def test_public_catalogue_is_complete(azure: AzureEmulator) -> None:
    assert public(azure).catalogue().missing == {}
