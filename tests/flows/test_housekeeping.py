"""Housekeeping: the limits of the queues, reconcile, reap."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Pending, Running, Scheduled
from pydantic import SecretStr

from spotwave.blocks.market import offers_of
from spotwave.blocks.models import LaunchBrief, Machine
from spotwave.flows.housekeeping.reap import reap
from spotwave.flows.housekeeping.reconcile import MOST_STARTS, adopt, reconcile
from spotwave.flows.loop.run_lock import RunLocked, is_locked, run_lock
from spotwave.node.contract import SECRET_API, Brief, job_key_of
from spotwave.tasks.results.stage import stage
from tests.conftest import Embedded
from tests.flows.kit import eventually, local_cloud, marked_processes

pytestmark = pytest.mark.slow

SCHEDULED = ("reconcile/every-5-minutes", "reap/every-10-minutes")


@pytest.fixture(autouse=True)
def quick_flows() -> Iterator[None]:
    """Without the heartbeat thread, whose end takes a second per flow run."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture(autouse=True)
def no_schedule(client: SyncPrefectClient) -> Iterator[None]:
    """The scheduled housekeeping would remove what these tests create."""
    scheduled = [client.read_deployment_by_name(name).id for name in SCHEDULED]
    for deployment_id in scheduled:
        client.pause_deployment(deployment_id)
    yield
    for deployment_id in scheduled:
        client.resume_deployment(deployment_id)


@pytest.fixture
def parked(client: SyncPrefectClient) -> Iterator[Any]:
    """Create job runs that no worker takes: scheduled for tomorrow, then put into a state by force."""
    made: list[UUID] = []
    deployment = client.read_deployment_by_name("shci/water-dimer")

    def park(state: Any) -> FlowRun:
        tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"basis": "sto-3g"}, state=tomorrow)
        made.append(run.id)
        client.set_flow_run_state(run.id, state, force=True)
        return client.read_flow_run(run.id)

    yield park
    for run_id in made:
        client.set_flow_run_state(run_id, Cancelled(), force=True)
        client.delete_flow_run(run_id)


@pytest.mark.thorough
def test_ninth_job_is_queued_until_another_has_ended(client: SyncPrefectClient, parked: Any) -> None:
    running = [parked(Running()) for _ in range(8)]
    deployment = client.read_deployment_by_name("shci/water-dimer")
    ninth = client.create_flow_run_from_deployment(
        deployment.id, parameters={"basis": "no-such-basis"}, state=Scheduled()
    )

    def queued() -> bool:
        state = client.read_flow_run(ninth.id).state
        assert state is not None
        assert state.type in (StateType.SCHEDULED, StateType.PENDING), "only eight at once"
        return (state.name, state.message) == ("Queued", "QuotaJobs: 8 of 8 jobs are running")

    eventually("the ninth is queued", queued)
    client.set_flow_run_state(running[0].id, Completed(), force=True)
    eventually(
        "the ninth runs when one has ended", lambda: client.read_flow_run(ninth.id).state_type == "FAILED", every_s=1.0
    )


def as_old(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Let reconcile and reap run as if at a later time."""
    monkeypatch.setattr("spotwave.tasks.api.now", lambda: datetime.now(UTC) + by)


def test_run_without_process_is_rescheduled(
    client: SyncPrefectClient, parked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_old(monkeypatch, timedelta(minutes=2))
    orphans = [parked(state) for state in (Running(), Crashed(), Pending())]
    steps = [client.create_task_run(stage, orphan.id, dynamic_key="0", state=Running()) for orphan in orphans]
    done = reconcile()
    for orphan, step in zip(orphans, steps, strict=True):
        assert done[orphan.name].startswith("rescheduled")
        assert client.read_flow_run(orphan.id).state_type is StateType.SCHEDULED
        assert client.read_task_run(step.id).state_type is StateType.CRASHED, "its page shows nothing as running"


def test_stale_housekeeping_run_is_ended(client: SyncPrefectClient) -> None:
    """Its deployment allows one run at a time and cancels the next: a stale run must not stop all that follow."""
    deployment = client.read_deployment_by_name("reap/every-10-minutes")
    dead = client.create_flow_run_from_deployment(deployment.id, state=Scheduled())
    eventually("reap has ended", lambda: (state := client.read_flow_run(dead.id).state) and state.is_final())
    eventually("nothing executes it", lambda: not is_locked(job_key_of(dead.id)))
    client.set_flow_run_state(dead.id, Running(), force=True)
    assert adopt(client)[dead.name] == "ended"
    assert client.read_flow_run(dead.id).state_type is StateType.CRASHED


def test_run_that_is_executed_is_left_alone(client: SyncPrefectClient, parked: Any) -> None:
    run = parked(Running())
    with run_lock(job_key_of(run.id)):
        assert run.name not in reconcile()
    assert run.name in reconcile()


def test_run_that_always_crashes_is_given_up(client: SyncPrefectClient, parked: Any) -> None:
    run = parked(Running())
    for _ in range(MOST_STARTS):
        tomorrow = Scheduled(
            scheduled_time=datetime.now(UTC) + timedelta(days=1)
        )  # if scheduled now, the worker would take it
        for state in (tomorrow, Pending(), Running()):  # as its worker and its process set them
            client.set_flow_run_state(run.id, state, force=True)
    assert reconcile()[run.name] == "given up"
    assert client.read_flow_run(run.id).state_type is StateType.FAILED


def test_lock_excludes_a_second_engine(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotwave.flows.loop.run_lock.WAIT_S", 0.0)
    with run_lock("sw-locked"):
        assert is_locked("sw-locked")
        with pytest.raises(RunLocked, match="sw-locked"), run_lock("sw-locked"):
            pass
    assert not is_locked("sw-locked")


def launch(embedded: Embedded, job_key: str, deadline_s: float = 600) -> Machine:
    """Launch a real machine that gets no work, with a deadline in `deadline_s` seconds."""
    cloud = local_cloud(embedded.home)
    offer = offers_of(cloud.market().frame)[0]
    brief = Brief(
        job_key=job_key,
        attempt=1,
        remote=str(embedded.home.remote / job_key),
        lease_id="00000000-0000-0000-0000-000000000000",
        vcpus=1,
        memory_gib=1.0,
        deadline=datetime.now(UTC).timestamp() + deadline_s,
    )
    # The real bootstrap would fail, since the remote has no code; this one waits.
    return cloud.machines(template="sleep 600\nexit\n@SETTINGS@\n@BRIEF@\n").launch(
        offer, LaunchBrief(brief, {SECRET_API: SecretStr("{}")})
    )[0]


def test_reap_removes_what_no_active_job_needs(
    embedded: Embedded, client: SyncPrefectClient, parked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOTWAVE_HOME", str(embedded.home.path))
    active, ended = parked(Running()), parked(Completed())
    for run in (active, ended):
        client.update_flow_run(run.id, tags=[job_key_of(run.id)])
    wanted = launch(embedded, job_key_of(active.id))
    forgotten = launch(embedded, job_key_of(ended.id))
    unknown = launch(embedded, "sw-nobodys")
    unknown_and_late = launch(embedded, "sw-nobodys-either", deadline_s=-1200)
    try:
        assert reap() == [], "all are younger than the grace"
        as_old(monkeypatch, timedelta(minutes=5))
        assert sorted(reap()) == sorted([forgotten.id, unknown_and_late.id])
        assert marked_processes(forgotten.id) == []
        assert marked_processes(wanted.id)
        assert marked_processes(unknown.id), "it may belong to another controller"
        assert [machine.id for machine in local_cloud(embedded.home).find(wanted.job_key)] == [wanted.id]
    finally:
        for machine in (wanted, forgotten, unknown, unknown_and_late):
            local_cloud(embedded.home).terminate(machine)
