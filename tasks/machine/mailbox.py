"""The controller's side of a machine that reaches no Prefect API: letters on the remote, handed on to Prefect.

The machine writes what it would have told Prefect (node.agent.detached_run); here it is told on its behalf, so that
lease,
states, log lines, task runs and progress are where they are for any other machine. Nothing is told twice: how far the
record was handed on stands among the labels of the attempt's run; a controller that died in between finds the log
lines of that part there, and events carry their own ids.
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

LOOK_S = 3.0  # between two looks at the remote: its calls cost
FENCE_S = 10.0  # a remote that hangs must not keep the machine from being terminated
BAR = "node-progress"  # as node.runtime.workspace names it


class Mailbox:
    """The line to a detached machine."""

    # Its beats are a quarter of a minute apart, and a remote may refuse it for minutes; a dead one the cloud tells of.
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
        """False also when the remote does not answer."""
        if not self._may_look():
            return False
        try:
            return self._heartbeat() is not None
        except RemoteError as error:
            get_run_logger().warning("the remote was not readable: %s", error)
            return False

    def deliver_run(self, run_id: UUID) -> None:
        # Nobody polls its queue: left Scheduled, it would be called Late.
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
        self._hand_on(run_id, lease.records)
        self._show(run_id, lease.progress)
        self._renew(lease_id, lease)  # last: with it the watch hears of the end
        self._beat = lease.beat

    def fence(self, lease_id: str) -> None:
        api.fence(self._api, lease_id)
        try:
            with self._block.job(self._job.key) as remote:
                remote.call_s = FENCE_S
                remote.write(f"{self._folder}/{FENCE_FILE}", Fence().to_json().encode())
        except RemoteError as error:
            # What follows ends the machine with more force than a letter.
            get_run_logger().warning("the machine was not told that it is given up: %s", error)

    def settle(self, run_id: UUID) -> None:
        """Warns where the remote is away: then the attempt stays incomplete in the UI, and the result does not depend
        on it."""
        try:
            with self._block.job(self._job.key) as remote:
                if (outcome := self._outcome(remote)) is not None:
                    self._end(run_id, outcome)
                if (lease := self._heartbeat()) is not None:
                    self._hand_on(run_id, lease.records)
                    self._show(run_id, lease.progress)
                remote.purge(f"{self._folder}/{RECORD_DIR}")
        except (RemoteError, ObjectNotFound) as error:
            get_run_logger().warning("what attempt %d said last is not in Prefect: %s", self._attempt, error)

    def _may_look(self) -> bool:
        if time.monotonic() - self._looked < LOOK_S:
            return False
        self._looked = time.monotonic()
        return True

    def _heartbeat(self) -> Lease | None:
        """None also for one that is just being written, where a backend shows half a file; and for what is no lease,
        which is as good as silence."""
        with self._block.job(self._job.key) as remote:
            try:
                told = remote.read(f"{self._folder}/{HEARTBEAT_FILE}")
                return Lease.from_json(told) if told else None
            except (ValueError, RemoteTooLong):
                return None

    def _outcome(self, remote: Remote) -> Outcome | None:
        try:
            told = remote.read(f"{self._folder}/{OUTCOME_FILE}")
            return Outcome.from_json(told) if told else None
        except (ValueError, RemoteTooLong) as error:
            get_run_logger().warning("how attempt %d says that it ended cannot be read: %s", self._attempt, error)
            return None

    def _set_running(self, run_id: UUID) -> None:
        if self._api.read_flow_run(run_id).state_type in (StateType.SCHEDULED, StateType.PENDING):
            self._api.set_flow_run_state(run_id, Running(), force=True)

    def _hand_on(self, run_id: UUID, parts: int) -> None:
        if self._record is None:
            self._record = Record(self._api, run_id, self._folder)
        if parts > self._record.parts:
            with self._block.job(self._job.key) as remote:
                self._record.hand_on(remote, parts)

    def _show(self, run_id: UUID, progress: Progress) -> None:
        """The attempt's own bar, which node.runtime.workspace would have drawn."""
        if not progress.step:
            return
        data, description = progress.percent, markdown(f"{progress.step}: {progress.note}")
        self._bar = self._bar or self._drawn(run_id)
        if self._bar is None:
            bar = ArtifactCreate(key=BAR, type="progress", data=data, description=description, flow_run_id=run_id)
            self._bar = self._api.create_artifact(bar).id
        else:
            self._api.update_artifact(self._bar, ArtifactUpdate(data=data, description=description))

    def _drawn(self, run_id: UUID) -> UUID | None:
        """The bar that an earlier engine has drawn."""
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[BAR]))
        found = self._api.read_artifacts(artifact_filter=wanted, limit=1)
        return found[0].id if found else None

    def _renew(self, lease_id: str, lease: Lease) -> None:
        """As the agent would (node.agent.lease); a lease that is gone is for the watch to see."""
        update = ArtifactUpdate(data=lease.for_people, metadata_=lease.to_metadata())
        try:
            self._api.update_artifact(UUID(lease_id), update)
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise

    def _end(self, run_id: UUID, outcome: Outcome) -> None:
        """The state that the node run itself would have ended in; a machine lost without one is for others to tell."""
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


@task(name="hand_over", retries=5, retry_delay_seconds=[1, 2, 5, 10, 30])
def write_run(job: Job, attempt: int, run_id: UUID) -> None:
    """run.json beside the attempt's other files: the entrypoint and parameters of the run, as Prefect has them.

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
