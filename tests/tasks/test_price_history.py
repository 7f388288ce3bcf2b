"""The picture of prices over time: which offers it shows, and their lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.tasks.market.price_history import LEADING, history, leaders
from tests.blocks.test_market import an_offer

NIGHT = datetime(2026, 5, 4, 3, tzinfo=UTC)


def a_night(usd: float) -> Market:
    return Market.of(
        an_offer(cloud=cloud, instance_type=f"t{n}", zone=zone, spot_usd_h=usd * (n + 1) + (zone == "b"))
        for cloud in ("aws", "gcp")
        for n in range(LEADING + 2)
        for zone in ("a", "b")
    )


def test_leaders_are_the_cheapest_pools_of_the_cheapest_types() -> None:
    found = leaders(a_night(0.1), Requirements())
    assert found.select("cloud", "instance_type", "zone").rows() == [
        (cloud, f"t{n}", "a") for cloud in ("aws", "gcp") for n in range(LEADING)
    ]
    assert leaders(a_night(0.1), Requirements(min_vcpus=99)).is_empty()


def test_price_history_of_the_leaders(tmp_path: Path) -> None:
    store = SnapshotStore(url=str(tmp_path))
    for night in range(3):
        store.publish("aws", a_night(0.1 + night), {}, NIGHT + timedelta(days=night))
    leading = leaders(a_night(0.1), Requirements())
    lines = history(store.frame(["aws"], pools=leading))
    first = lines.filter(cloud="aws", label="t0 a")
    assert first["taken_at"].to_list() == [NIGHT + timedelta(days=night) for night in range(3)]
    assert first["spot_usd_h"].to_list() == [0.1, 1.1, 2.1]
    assert lines["label"].n_unique() == LEADING
