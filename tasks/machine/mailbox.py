"""The controller's side of a machine that reaches no Prefect API: files on the remote, forwarded to Prefect.

The machine writes what it would have reported to Prefect (node.agent.detached_run). Here it is reported on its behalf,
so lease, states, log lines, task runs and progress are where they are for any other machine. Nothing is forwarded
twice: the progress is stored in a label of the attempt's run. After a crash in between, log lines are compared with
those that Prefect already has, and events carry their own ids.
"""

from __future__ import annotations

import time
from uuid import UUID

from prefect import task
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.states import Completed, Crashed, Failed, Pending, Running

from spotwave.node.contract import (
    FENCE_FILE,
    HEARTBEAT_FILE,
    OUTCOME_FILE,
    RECORD_DIR,
    RUN_FILE,
    Ending,
    Fence,
    Lease,
    Outcome,
    Phase,
    Progress,
    Submission,
    attempt_dir,
)
from spotwave.node.storage.remote import Remote, RemoteError, RemoteTooLong
from spotwave.node.untrusted.plain_text import markdown
from spotwave.tasks import api
from spotwave.tasks.load_blocks import load_remote
from spotwave.tasks.machine.replay_record import Record
from spotwave.tasks.records import Job

LOOK_S = 3.0  # between two reads of the remote, whose calls cost money
FENCE_S = 10.0  # so that a remote that hangs does not delay the termination of the machine
BAR = "node-progress"  # the key that node.runtime.workspace uses


class Mailbox:
    """The channel to a detached machine."""

    # Beats are 15 s apart, and a remote may refuse writes for minutes. The cloud reports a machine that is gone.
    least_silence_s = 300.0

    def __init__(self, job: Job, attempt: int) -> None:
        self._job = job
        self._attempt = attempt
        self._folder = attempt_dir(attempt)
        self._block = load_remote(job.remote)
        self._api = api.client()
        self._looked = float("-inf")
        self._beat: int | None = None
        self._record: Record | None = None
        self._bar: UUID | None = None

    def is_up(self) -> bool:
        """Whether the first heartbeat is on the remote; False also if the remote does not answer."""
        if not self._may_look():
            return False
        try:
            return self._heartbeat() is not None
        except RemoteError as error:
            get_run_logger().warning("the remote could not be read: %s", error)
            return False

    def deliver_run(self, run_id: UUID) -> None:
        # No worker polls its queue, so Prefect would mark a Scheduled run as Late.
        if self._api.read_flow_run(run_id).state_type is StateType.SCHEDULED:
            self._api.set_flow_run_state(run_id, Pending(), force=True)
        write_run(self._job, self._attempt, run_id)

    def poll(self, run_id: UUID, lease_id: str) -> None:
        if not self._may_look():
            return
        lease = self._heartbeat()
        if lease is None or lease.beat == self._beat:
            return
        if lease.phase is not Phase.BOOTING:
            self._set_running(run_id)
        self._forward(run_id, lease.records)
        self._show(run_id, lease.progress)
        self._renew(lease_id, lease)  # last, since the watch ends when the lease reports the end
        self._beat = lease.beat

    def fence(self, lease_id: str) -> None:
        api.fence(self._api, lease_id)
        try:
            with self._block.job(self._job.key) as remote:
                remote.call_s = FENCE_S
                remote.write(f"{self._folder}/{FENCE_FILE}", Fence().to_json().encode())
        except RemoteError as error:
            # The machine is terminated next in any case.
            get_run_logger().warning("the machine could not be told to stop: %s", error)

    def settle(self, run_id: UUID) -> None:
        """Forward the last reports. If the remote is unavailable, only warn: the attempt stays incomplete in the UI,
        but the result does not depend on it."""
        try:
            with self._block.job(self._job.key) as remote:
                if (outcome := self._outcome(remote)) is not None:
                    self._end(run_id, outcome)
                if (lease := self._heartbeat()) is not None:
                    self._forward(run_id, lease.records)
                    self._show(run_id, lease.progress)
                remote.purge(f"{self._folder}/{RECORD_DIR}")
        except (RemoteError, ObjectNotFound) as error:
            get_run_logger().warning("the last reports of attempt %d are not in Prefect: %s", self._attempt, error)

    def _may_look(self) -> bool:
        if time.monotonic() - self._looked < LOOK_S:
            return False
        self._looked = time.monotonic()
        return True

    def _heartbeat(self) -> Lease | None:
        """Return the heartbeat; None if missing, half written or invalid, which counts as silence."""
        with self._block.job(self._job.key) as remote:
            try:
                content = remote.read(f"{self._folder}/{HEARTBEAT_FILE}")
                return Lease.from_json(content) if content else None
            except (ValueError, RemoteTooLong):
                return None

    def _outcome(self, remote: Remote) -> Outcome | None:
        try:
            content = remote.read(f"{self._folder}/{OUTCOME_FILE}")
            return Outcome.from_json(content) if content else None
        except (ValueError, RemoteTooLong) as error:
            get_run_logger().warning("the outcome of attempt %d cannot be read: %s", self._attempt, error)
            return None

    def _set_running(self, run_id: UUID) -> None:
        if self._api.read_flow_run(run_id).state_type in (StateType.SCHEDULED, StateType.PENDING):
            self._api.set_flow_run_state(run_id, Running(), force=True)

    def _forward(self, run_id: UUID, parts: int) -> None:
        if self._record is None:
            self._record = Record(self._api, run_id, self._folder)
        if parts > self._record.parts:
            with self._block.job(self._job.key) as remote:
                self._record.hand_on(remote, parts)

    def _show(self, run_id: UUID, progress: Progress) -> None:
        """Update the attempt's progress bar, which node.runtime.workspace draws on other machines."""
        if not progress.step:
            return
        data, description = progress.percent, markdown(f"{progress.step}: {progress.note}")
        self._bar = self._bar or self._existing_bar(run_id)
        if self._bar is None:
            bar = ArtifactCreate(key=BAR, type="progress", data=data, description=description, flow_run_id=run_id)
            self._bar = self._api.create_artifact(bar).id
        else:
            self._api.update_artifact(self._bar, ArtifactUpdate(data=data, description=description))

    def _existing_bar(self, run_id: UUID) -> UUID | None:
        """Return the bar that an earlier engine created."""
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[BAR]))
        found = self._api.read_artifacts(artifact_filter=wanted, limit=1)
        return found[0].id if found else None

    def _renew(self, lease_id: str, lease: Lease) -> None:
        """Renew the lease as the agent would (node.agent.lease). The watch handles a deleted lease."""
        update = ArtifactUpdate(data=lease.for_people, metadata_=lease.to_metadata())
        try:
            self._api.update_artifact(UUID(lease_id), update)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise

    def _end(self, run_id: UUID, outcome: Outcome) -> None:
        """Set the state in which the node run would have ended. A machine without an outcome is settled elsewhere."""
        state: State[None]
        match outcome.ending:
            case Ending.COMPLETED:
                state = Completed(message=outcome.reason)
            case Ending.FAILED:
                state = Failed(message=outcome.reason)
            case Ending.INTERRUPTED | Ending.DEADLINE | Ending.SUSPENDED | Ending.HOST_DOWN:
                state = Crashed(name="Interrupted", message=outcome.reason)
            case Ending.LOST | Ending.FORGOTTEN:
                return
        if not api.is_final(self._api.read_flow_run(run_id)):
            self._api.set_flow_run_state(run_id, state, force=True)


@task(name="deliver_run", retries=5, retry_delay_seconds=[1, 2, 5, 10, 30])
def write_run(job: Job, attempt: int, run_id: UUID) -> None:
    """Write run.json beside the attempt's other files: entrypoint and parameters of the run, as in Prefect.

    Raises RemoteError if the remote refuses.
    """
    prefect = api.client()
    run = prefect.read_flow_run(run_id)
    assert run.deployment_id is not None
    entrypoint = prefect.read_deployment(run.deployment_id).entrypoint
    assert entrypoint is not None
    with load_remote(job.remote).job(job.key) as remote:
        submission = Submission(entrypoint, run.parameters, str(run_id))
        remote.write(f"{attempt_dir(attempt)}/{RUN_FILE}", submission.to_json().encode())
