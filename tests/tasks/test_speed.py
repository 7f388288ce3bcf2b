"""What is learned from earlier runs: the work of a calculation, and the speed of a family."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spotwave.blocks.market import Market
from spotwave.blocks.models import Offer, Requirements
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.learned import run_note
from spotwave.tasks.market.rank import rank
from spotwave.tasks.market.speed import learned
from tests.tasks.test_expected_cost import an_offer

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def ran(work: str, offer: Offer, core_h: float) -> dict[str, object]:
    return run_note("shci", work, offer, core_h * 3600 / offer.cores, NOW)


FAST = an_offer(instance_type="fast.xl", family="fast", vcpus=8, cores=4)
SLOW = an_offer(instance_type="slow.xl", family="slow", vcpus=8, cores=4)


def test_nothing_is_known_before_the_first_run() -> None:
    speeds, core_h = learned([], "shci", "dimer")
    assert speeds.is_empty()
    assert core_h is None


def test_the_work_of_the_same_calculation_is_known_from_one_run() -> None:
    runs = [ran("dimer", FAST, 40.0), ran("trimer", FAST, 400.0)]
    assert learned(runs, "shci", "dimer")[1] == pytest.approx(40.0)
    assert learned(runs, "shci", "trimer")[1] == pytest.approx(400.0)
    assert learned(runs, "shci", "tetramer")[1] is None
    assert learned(runs, "espresso", "dimer")[1] is None


def test_a_family_that_takes_longer_for_the_same_work_is_slower() -> None:
    runs = [ran("dimer", offer, hours) for offer, hours in ((FAST, 20.0), (SLOW, 40.0)) for _ in range(20)]
    speeds, _ = learned(runs, "shci", "dimer")
    found = dict(speeds.select("family", "measured").iter_rows())
    assert found["fast"] / found["slow"] == pytest.approx(2.0, rel=0.1)
    assert speeds["runs"].to_list() == [20, 20]


def test_single_slow_run_does_not_rule_out_a_family() -> None:
    speeds, _ = learned([ran("dimer", FAST, 10.0), ran("dimer", SLOW, 40.0)], "shci", "dimer")
    found = dict(speeds.select("family", "measured").iter_rows())
    assert 1.2 < found["fast"] / found["slow"] < 2.8


def test_a_measured_speed_changes_the_choice() -> None:
    market = Market.of([FAST.model_copy(update={"spot_usd_h": 0.30}), SLOW.model_copy(update={"spot_usd_h": 0.25})])
    assert rank(market, Requirements(), Work(10.0), {}).ranked[0].offer.family == "slow"
    runs = [ran("dimer", offer, hours) for offer, hours in ((FAST, 20.0), (SLOW, 40.0)) for _ in range(5)]
    speeds, _ = learned(runs, "shci", "dimer")
    choice = rank(market, Requirements(), Work(10.0), {}, speeds=speeds)
    assert [(r.offer.family, r.measured_speed) for r in choice.ranked] == [("fast", True), ("slow", True)]
