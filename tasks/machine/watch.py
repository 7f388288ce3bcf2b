"""Step: watch a machine until its attempt has ended, and return the outcome.

There are two sources: the lease that the agent renews, and the machine's state in the cloud. A lease that is not
renewed while the cloud reports the machine as running is *silence*, unless the heartbeat on the remote continues. A
machine that is gone is an *interruption*.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Machine, MachineState
from spotwave.node.contract import Cause, Ending, Lease, Outcome, Phase, Progress
from spotwave.node.storage.remote import RemoteError
from spotwave.node.untrusted.plain_text import markdown, plain
from spotwave.tasks import api
from spotwave.tasks.batch import sleep_to_tick
from spotwave.tasks.cache import ONCE
from spotwave.tasks.cost.receipt import billed
from spotwave.tasks.cost.reserve import TEARDOWN_S
from spotwave.tasks.load_blocks import load_cloud, load_remote
from spotwave.tasks.machine.attempts import checked_outcome
from spotwave.tasks.machine.channel import channel_of
from spotwave.tasks.machine.remote_heartbeat import RemoteHeartbeat
from spotwave.tasks.machine.remote_outcome import remote_outcome
from spotwave.tasks.records import Allowance, Job
from spotwave.tasks.run_status import ended, still_active

POLL_S = 2.0
LONG_POLL_S = 5.0  # after ten minutes; a poll makes three requests, for all jobs of the controller together
STATE_S = 5.0  # interval of the queries to the cloud
EARLY_S = 20.0  # how long a machine may report booting after its run has ended
STOPPING_S = 300.0  # how long a machine may be stopping
PRICES_S = 300.0  # interval of price queries under a limit; a price changes a few times a day
RETRIES = 4  # of one request, half a minute: this loop repeats requests anyway, and must notice a cancel soon
SUSPENDED = "the job was suspended"


def current_state(cloud: Cloud, machine: Machine) -> MachineState | None:
    """Return the machine's state; None if the cloud does not answer, which says nothing about the machine."""
    try:
        return cloud.state(machine)
    except LaunchRefused as refused:
        get_run_logger().warning("the state of %s is unavailable: %s", machine.id, refused.reason)
        return None


class _Watch:
    """The state of the watch in one task run."""

    def __init__(
        self,
        job: Job,
        machine: Machine,
        cloud: str,
        lease_id: str,
        node_run_id: UUID,
        run_count: int,
        allowance: Allowance | None,
    ) -> None:
        self.allowance, self.priced = allowance, time.monotonic()
        self.job, self.machine, self.lease_id, self.node_run_id = job, machine, lease_id, node_run_id
        self.run_count = run_count
        self.cloud = load_cloud(cloud)
        self.api = api.client()
        self.line = channel_of(job, machine.attempt)
        self.log = get_run_logger()
        self.lease: Lease | None = None
        self.remote_heartbeat = RemoteHeartbeat(machine.attempt)
        self.changed = time.monotonic()
        self.asked = float("-inf")
        self.stopping_since: float | None = None
        self.ended_early: float | None = None
        bar = create_progress_artifact(0.0, key="progress", description="Waiting for the machine")
        assert isinstance(bar, UUID)  # not a coroutine: this is not an async context
        self.bar = bar
        self.shown = Progress()

    def look(self) -> Outcome | None:
        """Read the lease and the node run; return the outcome if the attempt has ended.

        Raises httpx.HTTPError, PrefectHTTPStatusError or RemoteError if there is no answer, Superseded, Ended.
        """
        if not still_active(self.api, self.job.flow_run_id, self.run_count):
            return Outcome(Ending.SUSPENDED, SUSPENDED)
        self.line.poll(self.node_run_id, self.lease_id)
        try:
            lease = api.read_lease(self.api, self.lease_id)
        except ObjectNotFound:
            return self.final_outcome() or Outcome(Ending.LOST, "its lease was deleted")
        except ValueError as error:
            # Counts as silence: a machine that only reports invalid leases is given up.
            self.log.warning("its lease cannot be read: %s", error)
            lease = None
        if lease is not None and (self.lease is None or lease.beat != self.lease.beat):
            self.lease, self.changed = lease, time.monotonic()
            self.show(lease.progress)
            if lease.phase is Phase.ENDED and lease.outcome is not None:
                return lease.outcome
        run = api.newest_run(self.api, self.node_run_id)
        if (run is None or run.state_type in (StateType.CANCELLED, StateType.CANCELLING)) and not ended(
            self.api, self.job.flow_run_id
        ):
            return Outcome(Ending.FAILED, f"the node run was {'cancelled' if run else 'deleted'} in Prefect")
        return None if run is None else self.ended_before_work(run)

    def ended_before_work(self, run: FlowRun) -> Outcome | None:
        """Return the outcome of a run that ended before the agent knew of it, e.g. for its parameters or an import.

        The agent would wait for it until its own time limit.
        """
        booting = self.lease is None or self.lease.phase is Phase.BOOTING
        if not booting or run.state_type not in (StateType.FAILED, StateType.CRASHED):
            self.ended_early = None
            return None
        self.ended_early = self.ended_early or time.monotonic()
        if time.monotonic() - self.ended_early < EARLY_S:  # the agent's own outcome, if any, takes precedence
            return None
        message = plain(f"the run ended before it started: {run.state.message if run.state else run.state_type}")
        if run.state_type is StateType.FAILED:
            return Outcome(Ending.FAILED, message)
        return Outcome(Ending.LOST, message, cause=Cause.PROGRAM)

    def check_cloud(self) -> Outcome | None:
        """Return the outcome that follows from the machine's state in the cloud, if any."""
        if time.monotonic() - self.asked < STATE_S:
            return None
        self.asked = time.monotonic()
        state = current_state(self.cloud, self.machine)
        if state is MachineState.STOPPING:
            self.stopping_since = self.stopping_since or time.monotonic()
            if time.monotonic() - self.stopping_since < STOPPING_S:
                return None
        elif state in (MachineState.PENDING, MachineState.RUNNING, None):
            allowed_s = max(self.job.silence_s, self.line.least_silence_s)
            if time.monotonic() - self.changed > allowed_s:
                where = f"on a {state} machine" if state else "on a machine whose state is unknown"
                final = self.final_outcome()
                if final is None and self.has_remote_heartbeat():
                    self.log.warning("the machine does not reach the API, but its heartbeat on the remote continues")
                    self.changed = time.monotonic()
                    return None
                return final or Outcome(Ending.LOST, f"no heartbeat for {allowed_s:.0f} s {where}")
            return None
        if (final := self.final_outcome()) is not None:
            return final
        if state is MachineState.HOST_DOWN:
            return Outcome(Ending.HOST_DOWN, "stopped with its computer before it could report")
        if state is MachineState.INTERRUPTED:
            return Outcome(Ending.INTERRUPTED, "interrupted by the cloud before it could report")
        return Outcome(Ending.LOST, f"the machine is {state} and left no outcome")

    def check_price(self) -> Outcome | None:
        """Under a limit: end the attempt if its cost at current prices would exceed the limit.

        The machine itself only knows the price at its launch.
        """
        allowed = self.allowance.usd if self.allowance is not None else None
        if allowed is None or time.monotonic() - self.priced < PRICES_S:
            return None
        self.priced = time.monotonic()
        soon = api.now() + timedelta(seconds=PRICES_S + TEARDOWN_S)
        if self.machine.deadline is not None:  # it stops itself then, which is early enough unless prices have risen
            soon = min(soon, datetime.fromtimestamp(self.machine.deadline, UTC))
        try:
            prices = self.cloud.prices_held(self.machine, api.now())
        except LaunchRefused as refused:
            self.log.warning("the price of %s is unavailable: %s", self.machine.id, refused.reason)
            return None
        cost = billed(
            self.machine, self.cloud.least_billed_s, soon, prices, self.lease.sent_bytes if self.lease else 0
        ).usd
        if cost <= allowed:
            return None
        assert self.allowance is not None
        # The last uploaded checkpoint is kept: there is no way to ask the machine for another one.
        reason = f"the hourly price of its machine has risen since the launch. {self.allowance.said}"
        return Outcome(Ending.DEADLINE, reason, limit=self.allowance.limit)

    def with_lease_data(self, outcome: Outcome) -> Outcome:
        """Return the outcome, completed from the lease if the agent left no figures of its own."""
        if self.lease is None or outcome.sent_bytes:
            return outcome
        generation = outcome.generation or self.lease.generation
        return replace(outcome, sent_bytes=self.lease.sent_bytes, generation=generation)

    def final_outcome(self) -> Outcome | None:
        return remote_outcome(self.job, self.machine.attempt)

    def has_remote_heartbeat(self) -> bool:
        """Whether the agent has left a newer heartbeat on the remote. One small read per silence."""
        try:
            with load_remote(self.job.remote).job(self.job.key) as remote:
                return self.remote_heartbeat.has_risen(remote, self.lease.beat if self.lease is not None else 0)
        except RemoteError as error:
            self.log.warning("its heartbeat on the remote cannot be read: %s", error)
            return False

    def show(self, progress: Progress) -> None:
        """Update the progress bar, and log new progress."""
        if progress == self.shown or not progress.step:
            return
        self.shown = progress
        line = f"{progress.step}: {progress.note}"
        self.log.info("attempt %d, %s", self.machine.attempt, line)
        update_progress_artifact(self.bar, progress=progress.percent, description=markdown(line))


@task(name="watch", persist_result=True, cache_policy=ONCE - "run_count")
def watch(
    job: Job,
    machine: Machine,
    cloud: str,
    lease_id: str,
    node_run_id: UUID,
    run_count: int,
    allowance: Allowance | None = None,
) -> Outcome:
    """Watch the machine and return how the attempt ended. allowance: what it may cost.

    run_count: which start of the parent run this engine is; a higher one on the server ends this engine.
    Raises Superseded, Ended.
    """
    seen = _Watch(job, machine, cloud, lease_id, node_run_id, run_count, allowance)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
        return _until_it_has_ended(seen)


def _until_it_has_ended(seen: _Watch) -> Outcome:
    """Poll until the attempt has ended. Raises Superseded, Ended."""
    first_failure, begun = True, time.monotonic()
    while True:
        try:
            outcome = seen.look() or seen.check_cloud() or seen.check_price()
            first_failure = True
        except (httpx.HTTPError, PrefectHTTPStatusError, RemoteError) as error:
            # API or remote is unavailable: the lease is unknown, so this time must not count as silence.
            if first_failure:
                seen.log.warning("the machine's reports cannot be read, still watching: %s", error)
            first_failure = False
            seen.changed = time.monotonic()
            outcome = None
        if outcome is not None:
            outcome = checked_outcome(outcome, seen.cloud)
            seen.log.info("attempt %d %s: %s", seen.machine.attempt, outcome.ending, outcome.reason)
            return seen.with_lease_data(outcome)
        # Polling by design: the API and three clouds have no common event source.
        sleep_to_tick(min(LONG_POLL_S, max(POLL_S, (time.monotonic() - begun) / 120)), POLL_S / 2)
