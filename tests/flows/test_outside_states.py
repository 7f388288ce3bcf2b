"""Jobs that are ended or suspended from outside by a state: their machine is terminated, and none is rented."""

from __future__ import annotations

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Completed, Failed, Suspended

from spotwave.flows.loop.run_lock import is_locked
from spotwave.node.contract import OUTCOME_FILE, Ending, Outcome, attempt_dir
from spotwave.tasks.cost.receipt import RECEIPT_FILE
from tests.conftest import Embedded
from tests.flows.billing import receipt_in
from tests.flows.conftest import Start
from tests.flows.kit import MINIMAL, Job, endings, eventually, local_cloud, repeated_scf, same_energies

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=2)]

GONE_S = (
    60.0  # from the state to the end of its machine: usually some seconds, half a minute at most on an idle computer
)


@pytest.fixture(scope="module")
def jobs(early: Start) -> dict[str, Job]:
    """One job for each phase, all waiting in parallel."""
    return {
        "before the launch": early("launch", **MINIMAL),
        "at the launch": early("launched", **MINIMAL),
        "at the boot": early("boot", **MINIMAL),
        "at work": early("run_shci", **MINIMAL),
        "suspended": early("run_shci", **MINIMAL, max_attempts=1),
    }


def check_ended(embedded: Embedded, run: Job, machines: int) -> None:
    """Check that it has no machine, had `machines` of them, nothing executes it, and its bills are settled."""
    eventually("its machine is gone", lambda: not local_cloud(run.home).find(run.key), GONE_S, 0.5)
    with embedded.api.in_use(embedded.home):
        eventually("nothing executes it", lambda: not is_locked(run.key))
    assert len(list(run.home.machines.glob(f"{run.key}-*"))) == machines
    assert list(run.home.path.rglob(f"accounts/{run.key}.json")) == []
    receipt = run.home.results / run.key / RECEIPT_FILE
    assert receipt.exists() == (machines > 0)
    if machines:
        assert [attempt["ending"] for attempt in receipt_in(receipt.parent)["attempts"]] == ["lost"]


@pytest.mark.parametrize(
    ("phase", "state", "machines"),
    [
        ("before the launch", Completed(message="enough"), 0),
        ("at the launch", Failed(message="mine"), 1),
        ("at work", Cancelled(message="mine"), 1),
    ],
)
def test_final_state_set_by_hand_ends_the_job_and_stays(
    embedded: Embedded, client: SyncPrefectClient, jobs: dict[str, Job], phase: str, state: State[None], machines: int
) -> None:
    run = jobs[phase]
    run.waits()
    client.set_flow_run_state(run.run_id, state)
    if phase != "at work":  # there, a process of the machine waits, not of the controller
        assert run.plan is not None
        run.plan.go_on()
    check_ended(embedded, run, machines)
    left = run.run.state
    assert left is not None
    assert (left.type, left.message) == (state.type, state.message)
    assert [node_run.state_name for node_run in run.node_runs()] == ["Cancelled"] * (phase == "at work")


def test_deleting_the_run_ends_the_job(embedded: Embedded, client: SyncPrefectClient, jobs: dict[str, Job]) -> None:
    run = jobs["at the boot"]
    run.waits()
    client.delete_flow_run(run.run_id)
    run.deleted = True
    check_ended(embedded, run, 1)


def test_suspended_job_saves_releases_its_machine_and_continues_when_resumed(
    client: SyncPrefectClient, jobs: dict[str, Job]
) -> None:
    """As the UI does it: with a timeout of five minutes, and by force. It does not count as an attempt."""
    run = jobs["suspended"]
    run.waits()
    run.saved()
    client.set_flow_run_state(run.run_id, Suspended(timeout_seconds=300), force=True)
    eventually("its machine is gone", lambda: not local_cloud(run.home).find(run.key), 120, 0.5)

    outcome = Outcome.read(run.remote / attempt_dir(1) / OUTCOME_FILE)
    assert outcome.ending is Ending.SUSPENDED, outcome.reason
    assert outcome.generation is not None

    def no_timeout() -> bool:
        state = run.run.state
        assert state is not None
        assert state.type is StateType.PAUSED
        return state.state_details.pause_timeout is None

    eventually("it waits without a limit", no_timeout)
    eventually("its receipt so far is written", (run.home.results / run.key / RECEIPT_FILE).exists)
    assert [attempt["ending"] for attempt in receipt_in(run.home.results / run.key)["attempts"]] == ["suspended"]
    client.resume_flow_run(run.run_id)
    result = run.completed()
    same_energies(result)
    assert endings(result) == ["suspended", "completed"]
    assert not repeated_scf(run, 2)
