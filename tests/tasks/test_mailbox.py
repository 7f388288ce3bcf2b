"""Reports of a detached machine, forwarded to a real Prefect server: each once, and only about its own run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterFlowRunId
from prefect.logging import disable_run_logger
from prefect.states import Crashed, Failed, Pending, Running

from spotwave.blocks.models import Requirements
from spotwave.blocks.rclone import RcloneRemote, rclone_binary
from spotwave.deployments.api import Api
from spotwave.node.contract import (
    FENCE_FILE,
    HEARTBEAT_FILE,
    OUTCOME_FILE,
    Ending,
    Lease,
    Outcome,
    Phase,
    Progress,
    attempt_dir,
    record_part,
)
from spotwave.node.storage.remote import Remote
from spotwave.tasks import api
from spotwave.tasks.machine.await_boot import await_boot
from spotwave.tasks.machine.mailbox import Mailbox
from spotwave.tasks.machine.replay_record import LABEL, Record
from spotwave.tasks.machine.watch import EARLY_S, _Watch
from spotwave.tasks.records import Job
from spotwave.tasks.results.progress import percent_done
from tests.flows.kit import eventually
from tests.flows.logs import messages
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_receipt import a_machine

pytestmark = pytest.mark.slow(minutes=0.2)

FOLDER = attempt_dir(1)
BEGUN = datetime.now(UTC)


@flow(name="never_executed")
def never_executed() -> None:
    """Has runs, but is never executed."""


@pytest.fixture
def client(prefect_api: Api) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found, disable_run_logger():
        yield found


@pytest.fixture
def run_id(client: SyncPrefectClient) -> UUID:
    return client.create_flow_run(never_executed, state=Pending()).id


def log(run_id: UUID, number: int, message: str) -> dict[str, Any]:
    at = BEGUN + timedelta(milliseconds=number)
    line = {"name": "prefect.flow_runs", "level": 20, "timestamp": at.isoformat(), "message": message}
    return {"log": {**line, "flow_run_id": str(run_id), "task_run_id": None}}


def completed(run_id: UUID, task_run: UUID) -> dict[str, Any]:
    """Return the event with which a task run's engine reports completion."""
    return {
        "event": {
            "id": str(uuid4()),
            "occurred": BEGUN.isoformat(),
            "event": "prefect.task-run.Completed",
            "resource": {
                "prefect.resource.id": f"prefect.task-run.{task_run}",
                "prefect.resource.name": "step-0",
                "prefect.state-type": "COMPLETED",
                "prefect.orchestration": "client",
            },
            "related": [
                {"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"},
            ],
            "payload": {
                "intended": {"from": "RUNNING", "to": "COMPLETED"},
                "initial_state": None,
                "validated_state": {"type": "COMPLETED", "name": "Completed", "message": None, "state_details": {}},
                "task_run": {"name": "step-0", "task_key": "step", "dynamic_key": str(task_run)},
            },
        }
    }


def write_part(remote: Path, number: int, *lines: dict[str, Any]) -> None:
    path = remote / FOLDER / record_part(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def task_runs(client: SyncPrefectClient, run_id: UUID) -> set[UUID]:
    wanted = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run_id]))
    return {run.id for run in client.read_task_runs(task_run_filter=wanted)}


def test_engine_that_continues_another_ones_work_forwards_nothing_twice(
    client: SyncPrefectClient, run_id: UUID, tmp_path: Path
) -> None:
    remote, first, second = Remote(rclone_binary(), None, str(tmp_path)), uuid4(), uuid4()
    write_part(tmp_path, 1, log(run_id, 1, "one"), completed(run_id, first), log(run_id, 2, "two"))
    Record(client, run_id, FOLDER).hand_on(remote, 1)
    assert client.read_flow_run(run_id).labels[LABEL] == 1

    client.update_flow_run_labels(run_id, {LABEL: 0})  # as if it had crashed before it recorded this
    # and then there are several: fetched in one call
    write_part(tmp_path, 2, log(run_id, 3, "three"), completed(run_id, second))
    write_part(tmp_path, 3, log(run_id, 4, "four"))
    Record(client, run_id, FOLDER).hand_on(remote, 3)
    assert messages(client, run_id) == ["one", "two", "three", "four"]
    eventually("two task runs", lambda: task_runs(client, run_id) == {first, second})
    record = Record(client, run_id, FOLDER)
    assert record.parts == 3


def test_machine_can_report_only_about_its_own_run(client: SyncPrefectClient, run_id: UUID, tmp_path: Path) -> None:
    other = client.create_flow_run(never_executed, state=Pending()).id
    mine = uuid4()
    strange = completed(run_id, uuid4())
    strange["event"]["resource"]["prefect.resource.id"] = f"prefect.flow-run.{other}"
    other_task_run = uuid4()
    client.request("POST", "/events", json=[completed(other, other_task_run)["event"]])
    eventually("the other run's task run", lambda: task_runs(client, other) == {other_task_run})
    foreign_event, logged = completed(run_id, other_task_run), log(run_id, 3, "as if theirs")
    logged["log"]["task_run_id"] = str(other_task_run)
    lines = (
        log(other, 1, "not mine"),
        completed(other, uuid4()),
        strange,
        {"log": {}},
        {},
        {"event": 7},
        foreign_event,
        logged,
    )
    write_part(tmp_path, 1, *lines, log(run_id, 2, "mine"), completed(run_id, mine))
    Record(client, run_id, FOLDER).hand_on(Remote(rclone_binary(), None, str(tmp_path)), 1)
    eventually("its own task run", lambda: task_runs(client, run_id) == {mine})
    assert messages(client, run_id) == ["mine"]
    assert messages(client, other) == []
    assert task_runs(client, other) == {other_task_run}


@pytest.fixture
def job(client: SyncPrefectClient, tmp_path: Path) -> Iterator[Job]:
    RcloneRemote(path=str(tmp_path / "remote")).save("mailbox", overwrite=True)
    yield Job(
        key="sw-mailbox",
        flow_run_id=client.create_flow_run(never_executed, state=Running()).id,
        node="shci-node/machine",
        parameters={},
        requirements=Requirements(),
        clouds=["local-cloud/here"],
        remote="rclone-remote/mailbox",
        access="prefect-access/here",
        store="snapshot-store/here",
        results=tmp_path / "results",
    )
    RcloneRemote.delete("mailbox")


def write_machine_files(job: Job, tmp_path: Path, outcome: Outcome, **lease: Any) -> Path:
    """Write the files that a machine leaves on the remote."""
    folder = tmp_path / "remote" / job.key / FOLDER
    Lease(7, Phase.ENDED, Progress("second", 60.0, "so far"), outcome=outcome, **lease).write(folder / HEARTBEAT_FILE)
    outcome.write(folder / OUTCOME_FILE)
    return folder


def test_lease_progress_and_end_are_forwarded(
    client: SyncPrefectClient, run_id: UUID, job: Job, tmp_path: Path
) -> None:
    lease_id = api.create_lease(client, job.key, 1, run_id)
    mailbox = Mailbox(job, 1)
    assert not mailbox.is_up()
    folder = write_machine_files(job, tmp_path, Outcome(Ending.FAILED, "basis: unknown"), records=1)
    write_part(tmp_path / "remote" / job.key, 1, log(run_id, 1, "last words"))
    Mailbox(job, 1).poll(run_id, lease_id)
    lease = api.read_lease(client, lease_id)
    assert lease is not None
    assert lease.outcome == Outcome(Ending.FAILED, "basis: unknown")
    assert client.read_flow_run(run_id).state_name == "Running"

    mailbox = Mailbox(job, 1)
    mailbox.fence(lease_id)
    assert (folder / FENCE_FILE).exists()
    mailbox.settle(run_id)
    mailbox.settle(run_id)
    run = client.read_flow_run(run_id)
    assert run.state is not None
    assert (run.state_name, run.state.message) == ("Failed", "basis: unknown")
    assert messages(client, run_id) == ["last words"]
    assert not (folder / "record").exists()


def test_unavailable_remote_does_not_prevent_termination(
    client: SyncPrefectClient, run_id: UUID, job: Job, tmp_path: Path
) -> None:
    lease_id = api.create_lease(client, job.key, 1, run_id)
    (tmp_path / "remote").write_text("a file is no remote")
    mailbox = Mailbox(job, 1)
    assert not mailbox.is_up()
    mailbox.fence(lease_id)
    mailbox.settle(run_id)
    assert client.read_flow_run(run_id).state_name == "Pending"


HOSTILE = [
    "[" * 3000,
    "x" * 2**21,
    '{"beat": 1, "phase": "working", "progress": ["a"], "ending": "completed", "reason": 7}',
    '{"beat": 1, "phase": "working", "sent_bytes": NaN, "ending": "completed", "reason": ""}',
    '{"beat": 1, "phase": "ended", "outcome": "completed", "ending": "won", "reason": ""}',
]


def test_invalid_files_count_as_silence(client: SyncPrefectClient, run_id: UUID, job: Job, tmp_path: Path) -> None:
    """Neither the watch nor the teardown fails, and nothing is forwarded to Prefect."""
    lease_id = api.create_lease(client, job.key, 1, run_id)
    folder = tmp_path / "remote" / job.key / FOLDER
    folder.mkdir(parents=True)
    machine = a_machine(an_offer()).model_copy(update={"job_key": job.key})
    watch = _Watch(job, machine, "local-cloud/here", lease_id, run_id, 1, None)
    for text in HOSTILE:
        for name in (HEARTBEAT_FILE, OUTCOME_FILE):
            (folder / name).write_text(text)
        assert not Mailbox(job, 1).is_up()
        Mailbox(job, 1).poll(run_id, lease_id)
        Mailbox(job, 1).settle(run_id)
        assert watch.final_outcome() is None
        assert percent_done(job, 1) == 0.0
    assert api.read_lease(client, lease_id) is None
    assert client.read_flow_run(run_id).state_name == "Pending"


@pytest.mark.parametrize(("state", "ending"), [(Failed, Ending.FAILED), (Crashed, Ending.LOST)])
def test_run_that_ended_before_its_machine_started_it_is_noticed(
    client: SyncPrefectClient, run_id: UUID, job: Job, state: Callable[..., Any], ending: Ending
) -> None:
    """E.g. with invalid parameters, or code that cannot be imported: the agent would wait for a long time."""
    lease_id = api.create_lease(client, job.key, 1, run_id)
    machine = a_machine(an_offer()).model_copy(update={"job_key": job.key})
    watch = _Watch(job, machine, "local-cloud/here", lease_id, run_id, 1, None)
    assert watch.look() is None
    client.set_flow_run_state(run_id, state(message="Validation of flow parameters failed"), force=True)
    assert watch.look() is None, "the agent's own outcome would take precedence"
    assert watch.ended_early is not None
    watch.ended_early -= EARLY_S
    outcome = watch.look()
    assert outcome is not None
    assert outcome.ending is ending
    assert "Validation of flow parameters failed" in outcome.reason


@pytest.mark.parametrize("ending", [Ending.LOST, Ending.COMPLETED])
def test_reason_of_a_machine_that_ended_before_it_was_up_is_reported(
    client: SyncPrefectClient, job: Job, tmp_path: Path, ending: Ending
) -> None:
    """E.g. one that does not reach the API: its agent has left the reason on the remote. It had no work that it could
    have completed."""
    folder = tmp_path / "remote" / job.key / FOLDER
    folder.mkdir(parents=True)
    reason = "no lease renewal for 120 s (CERTIFICATE_VERIFY_FAILED)"
    (folder / OUTCOME_FILE).write_text(Outcome(ending, reason).to_json())
    machine = a_machine(an_offer()).model_copy(update={"job_key": job.key})
    outcome = await_boot.fn(job, "local-cloud/here", machine, 1)
    assert outcome is not None
    assert outcome.ending is Ending.LOST
    assert (outcome.reason == reason) == (ending is Ending.LOST)
    assert "before it was up" in outcome.reason or ending is Ending.LOST
