"""The ledger of spending: reservations count, earlier ones take precedence, and costs are summed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spotwave.blocks.budget import Budget
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.node.contract import SAVE_S
from spotwave.tasks.cost import ledger
from spotwave.tasks.cost.ledger import Entry, left
from spotwave.tasks.cost.report import by, figure
from spotwave.tasks.cost.reserve import TEARDOWN_S, stops_at, too_short
from spotwave.tasks.records import Allowance
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_quote import a_job
from tests.tasks.test_receipt import an_attempt

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def entry(job: str, usd: float, state: ledger.State = "ended", **changes: object) -> Entry:
    fields = {"job": job, "attempt": 1, "project": "default", "state": state, "usd": usd, "at": NOON, "until": NOON}
    return Entry.model_validate(fields | changes)


def later(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_reservations_of_running_jobs_count_in_full() -> None:
    mine = entry("sw-mine", 5.0, "reserved", at=later(10))
    before = [entry("sw-a", 3.0), entry("sw-b", 4.0, "reserved", at=later(5)), mine]
    usd, limit, message = left(mine, before, Budget(usd_per_month=10.0))
    assert (usd, limit) == (3.0, "usd_per_month")
    assert "of 10 USD, 3 are spent in 2026-11 and 4 are reserved" in message


def test_later_of_two_simultaneous_reservations_gives_way() -> None:
    """Both have written before either has read."""
    first, second = (entry(name, 8.0, "reserved", at=later(minute)) for name, minute in (("sw-z", 0), ("sw-a", 1)))
    both, budget = [first, second], Budget(usd_per_month=10.0)
    assert left(first, both, budget)[0] == 10.0
    assert left(second, both, budget)[0] == 2.0
    same = first.model_copy(update={"job": "sw-y"})
    assert sorted(left(one, [first, same], budget)[0] for one in (first, same)) == [2.0, 10.0], (
        "also at the same moment"
    )


def test_monthly_limit_covers_all_projects_unless_the_budget_names_one() -> None:
    mine = entry("sw-mine", 0.0, "reserved", project="mine", at=later(10))
    others = [
        entry("sw-a", 3.0, project="mine"),
        entry("sw-b", 4.0, project="other"),
        entry("sw-c", 9.0, project="mine", at=NOON - timedelta(days=30)),
    ]
    assert left(mine, others, Budget(usd_per_month=10.0))[0] == 3.0
    assert left(mine, others, Budget(usd_per_month=10.0, project="mine"))[0] == 7.0
    assert left(mine, others, Budget(usd_per_project=20.0))[0] == 8.0, "a project's limit is not monthly"
    assert left(mine, others, Budget(usd_per_month=10.0, usd_per_project=13.0))[1] == "usd_per_project", (
        "the tightest limit"
    )
    assert left(mine, others, Budget(usd_per_month=5.0))[0] == 0.0, "never negative"


def test_final_cost_replaces_the_reservation(tmp_path: Path) -> None:
    store = SnapshotStore(url=str(tmp_path))
    job, attempt = a_job(project="dimers"), an_attempt(1, 2.0, an_offer())
    reserved = ledger.reservation(job, 1, 24.0, NOON.timestamp(), later(600).timestamp(), None)
    ledger.write(store, reserved)
    ledger.write(store, entry("sw-before", 1.0, at=NOON - timedelta(days=40)))
    assert [one.state for one in ledger.read(store)] == ["ended", "reserved"]
    assert attempt.bill is not None
    ledger.write(store, ledger.settled(reserved, "here", "here t r", attempt.bill))
    ledger.write(store, reserved.model_copy(update={"attempt": 2, "state": "withdrawn"}))
    (found,) = ledger.read(store, "2026-11")
    assert (found.state, found.usd, found.hours, found.on_demand_usd) == ("ended", 0.5, 2.0, 2.0)
    assert (found.job, found.project, found.cloud) == (job.key, "dimers", "here")
    assert len(ledger.read(store)) == 2


def test_costs_are_summed_with_reservations_apart() -> None:
    entries = [
        entry("sw-a", 1.0, cloud="aws", on_demand_usd=3.0, hours=2.0),
        entry("sw-a", 0.5, cloud="gcp", on_demand_usd=1.0, hours=1.0, attempt=2),
        entry("sw-b", 7.0, "reserved", project="other", at=NOON + timedelta(days=30)),
    ]
    first, second = by(entries, "month")
    assert (first.name, first.usd, first.on_demand_usd, first.jobs, first.attempts) == ("2026-11", 1.5, 4.0, 1, 2)
    assert (second.name, second.usd, second.reserved_usd, second.running) == ("2026-12", 0.0, 7.0, 1)
    assert [(cost.name, cost.usd) for cost in by(entries, "cloud")] == [("aws", 1.0), ("gcp", 0.5), ("not yet", 0.0)]
    assert [cost.name for cost in by(entries, "project")] == ["default", "other"]
    drawn = figure(by(entries, "month"), "month").axes[0]
    assert [bar.get_height() for bar in drawn.patches] == [1.5, 0.0, 0.0, 7.0]


@pytest.mark.parametrize("disk_gib", [0.0, 730.0])
def test_a_machine_stops_before_its_allowance_is_spent(disk_gib: float) -> None:
    offer = an_offer(spot_usd_h=0.9, disk_usd_gib_month=0.1, egress_usd_gib=0.5)
    job = a_job(requirements={"disk_gib": disk_gib}, results_gib=0.2)
    allowance = Allowance(usd=1.1, at=1000.0)
    stop = stops_at(allowance, job, offer)
    usd_h = 0.9 + 0.1 * disk_gib / 730
    assert (stop + TEARDOWN_S - allowance.at) / 3600 * usd_h + 0.2 * 0.5 == pytest.approx(1.1)
    assert not too_short(offer, stop, 1000.0)
    assert too_short(offer, 1000.0 + offer.boot_s + SAVE_S, 1000.0), "it would stop right after its boot"
    assert stops_at(Allowance(at=0.0), job, offer) == float("inf")


def test_save_time_equals_the_agents() -> None:
    from spotwave.node.agent import agent

    assert agent.SAVE_S == SAVE_S
