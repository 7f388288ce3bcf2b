"""Price changes since yesterday."""

from __future__ import annotations

import pytest

from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.tasks.market.price_changes import price_changes
from tests.blocks.test_market import an_offer


def test_changes_are_counted_and_the_biggest_shown() -> None:
    names = ["same", "cheaper", "dearer", "gone"]
    before = Market.of(an_offer(instance_type=name, zone=None) for name in names)
    prices = {"same": 0.1, "cheaper": 0.05, "dearer": 0.11, "new": 3.0}
    now = Market.of(an_offer(instance_type=name, zone=None, spot_usd_h=usd) for name, usd in prices.items())
    found = price_changes(now, before, Requirements())
    assert found.counts.drop("median").rows() == [("aws", 1, 1, 1, 1, 1)]
    assert found.counts["median"].item() == pytest.approx(0.8)
    assert found.biggest["instance_type"].to_list() == ["cheaper", "dearer"]
    assert found.biggest["place"].to_list() == ["eu-central-1", "eu-central-1"]


def test_only_eligible_offers_are_shown_but_all_are_counted() -> None:
    before = Market.of([an_offer(), an_offer(cloud="gcp", burstable=True)])
    now = Market.of([an_offer(spot_usd_h=0.2), an_offer(cloud="gcp", burstable=True, spot_usd_h=0.3)])
    found = price_changes(now, before, Requirements())
    assert found.counts["dearer"].to_list() == [1, 1]
    assert found.biggest["cloud"].to_list() == ["aws"]


def test_new_cloud_has_no_changes() -> None:
    found = price_changes(Market.of([an_offer()]), Market.of([]), Requirements())
    assert found.counts.select("cloud", "new", "gone").rows() == [("aws", 1, 0)]
    assert found.biggest.is_empty()
