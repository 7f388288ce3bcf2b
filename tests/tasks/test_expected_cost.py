"""The expected cost of a job on an offer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spotwave.blocks.market import Market
from spotwave.blocks.models import Offer
from spotwave.tasks.market.expected_cost import Work, with_cost

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def an_offer(**more: object) -> Offer:
    return Offer.model_validate(
        {
            "cloud": "here",
            "instance_type": "t",
            "region": "r",
            "family": "t",
            "vcpus": 8,
            "cores": 4,
            "memory_gib": 16.0,
            "architecture": "x86_64",
            "spot_usd_h": 0.25,
            "on_demand_usd_h": 1.0,
            "notice_s": 30.0,
            "seen_at": BEGUN,
            **more,
        }
    )


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0.0, 0.0), (0.1, 0.04, 0.06), (50.0, 0.95, 0.95)])
def test_waste_grows_with_the_rate_and_is_bounded(rate: float, least: float, most: float) -> None:
    frame = with_cost(Market.of([an_offer(interruptions_per_h=rate)]).frame, Work(4.0))
    assert least <= frame["waste"][0] <= most


def test_expected_cost_is_price_times_time_with_waste() -> None:
    row = with_cost(Market.of([an_offer(interruptions_per_h=0.0)]).frame, Work(8.0)).row(0, named=True)
    assert row["hours"] == pytest.approx(2.0 + 120 / 3600)
    assert row["expected_usd"] == pytest.approx(0.25 * row["hours"])


def test_every_term_adds_to_the_expected_cost() -> None:
    priced = an_offer(interruptions_per_h=0.0, disk_usd_gib_month=7.3, ip_usd_h=0.5, egress_usd_gib=0.1)
    row = with_cost(Market.of([priced]).frame, Work(8.0, disk_gib=10.0, results_gib=3.0)).row(0, named=True)
    assert row["disk_usd"] == pytest.approx(0.1 * row["hours"])
    assert row["ip_usd"] == pytest.approx(0.5 * row["hours"])
    assert row["egress_usd"] == pytest.approx(0.3)
    assert row["expected_usd"] == pytest.approx(0.25 * row["hours"] + row["disk_usd"] + row["ip_usd"] + 0.3)


def test_a_whole_core_counts_more_than_a_hyperthread() -> None:
    hyperthreads, whole = an_offer(vcpus=8, cores=4), an_offer(vcpus=8, cores=8)
    hours = with_cost(Market.of([hyperthreads, whole]).frame, Work(80.0))["hours"].to_list()
    assert 1.5 < hours[0] / hours[1] < 2.0
