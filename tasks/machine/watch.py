"""Step: follow a machine until its attempt has ended, and say how.

Two witnesses are heard: the lease that the agent renews, and the cloud's own state. A lease that stops while the
cloud says the machine runs is *silence*, unless its heartbeat on the remote goes on; a machine that is gone is an
*interruption*.
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
from spotwave.tasks.cache import ONCE
from spotwave.tasks.cost.receipt import billed
from spotwave.tasks.cost.reserve import TEARDOWN_S
from spotwave.tasks.load_blocks import load_cloud, load_remote
from spotwave.tasks.machine.attempts import believed
from spotwave.tasks.machine.channel import channel_of
from spotwave.tasks.machine.remote_heartbeat import RemoteHeartbeat
from spotwave.tasks.machine.remote_outcome import remote_outcome
from spotwave.tasks.records import Allowance, Job
from spotwave.tasks.run_status import ended, run_of, still_active

POLL_S = 2.0
LONG_POLL_S = 5.0  # of what has run for ten minutes; every look is three questions to the server
STATE_S = 5.0  # how often the cloud is asked
EARLY_S = 20.0  # how long a run may have ended while its machine says that it boots
STOPPING_S = 300.0  # how long a machine may be on its way down
PRICES_S = 300.0  # how often it is asked what has held, under a limit: a price moves a few times a day
RETRIES = 4  # of one question, half a minute: this loop asks again by itself, and is to hear of a cancel soon
SUSPENDED = "the job was suspended"


def told_state(cloud: Cloud, machine: Machine) -> MachineState | None:
    """What the cloud says now; None where it does not answer, which says nothing about the machine."""
    try:
        return cloud.state(machine)
    except LaunchRefused as refused:
        get_run_logger().warning("the cloud does not tell how %s is: %s", machine.id, refused.reason)
        return None


class _Watch:
    """The state of one task run's watching."""

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
        assert isinstance(bar, UUID)  # not a coroutine: this is no async context
        self.bar = bar
        self.told = Progress()

    def look(self) -> Outcome | None:
        """Read the lease and the node run.

        Raises httpx.HTTPError, PrefectHTTPStatusError or RemoteError if there is no answer, Superseded, Ended.
        """
        if not still_active(self.api, self.job.flow_run_id, self.run_count):
            return Outcome(Ending.SUSPENDED, SUSPENDED)
        self.line.poll(self.node_run_id, self.lease_id)
        try:
            lease = api.read_lease(self.api, self.lease_id)
        except ObjectNotFound:
            return self.last_word() or Outcome(Ending.LOST, "its lease was deleted")
        except ValueError as error:
            # Its silence counts: a machine that only ever says what nobody understands is given up.
            self.log.warning("its lease cannot be read: %s", error)
            lease = None
        if lease is not None and (self.lease is None or lease.beat != self.lease.beat):
            self.lease, self.changed = lease, time.monotonic()
            self.show(lease.progress)
            if lease.phase is Phase.ENDED and lease.outcome is not None:
                return lease.outcome
        run = run_of(self.api, self.node_run_id)
        if (run is None or run.state_type in (StateType.CANCELLED, StateType.CANCELLING)) and not ended(
            self.api, self.job.flow_run_id
        ):
            return Outcome(Ending.FAILED, f"the node run was {'cancelled' if run else 'deleted'} in Prefect")
        return None if run is None else self.never_at_work(run)

    def never_at_work(self, run: FlowRun) -> Outcome | None:
        """A run that ended before its machine's agent could know of it: its parameters, or an import. The agent would
        wait for it until its patience is over."""
        booting = self.lease is None or self.lease.phase is Phase.BOOTING
        if not booting or run.state_type not in (StateType.FAILED, StateType.CRASHED):
            self.ended_early = None
            return None
        self.ended_early = self.ended_early or time.monotonic()
        if time.monotonic() - self.ended_early < EARLY_S:  # the agent's word, if it has one, comes first
            return None
        said = plain(f"the run ended before it began: {run.state.message if run.state else run.state_type}")
        if run.state_type is StateType.FAILED:
            return Outcome(Ending.FAILED, said)
        return Outcome(Ending.LOST, said, cause=Cause.PROGRAM)

    def ask_the_cloud(self) -> Outcome | None:
        """What follows from the machine's state."""
        if time.monotonic() - self.asked < STATE_S:
            return None
        self.asked = time.monotonic()
        state = told_state(self.cloud, self.machine)
        if state is MachineState.STOPPING:
            self.stopping_since = self.stopping_since or time.monotonic()
            if time.monotonic() - self.stopping_since < STOPPING_S:
                return None
        elif state in (MachineState.PENDING, MachineState.RUNNING, None):
            allowed_s = max(self.job.silence_s, self.line.least_silence_s)
            if time.monotonic() - self.changed > allowed_s:
                where = f"on a {state} machine" if state else "on a machine that the cloud tells nothing of"
                told = self.last_word()
                if told is None and self.heard_by_the_remote():
                    self.log.warning("the machine does not reach the API, but its heartbeat on the remote goes on")
                    self.changed = time.monotonic()
                    return None
                return told or Outcome(Ending.LOST, f"silent for {allowed_s:.0f} s {where}")
            return None
        if (told := self.last_word()) is not None:
            return told
        if state is MachineState.HOST_DOWN:
            return Outcome(Ending.HOST_DOWN, "stopped with its computer before it could say so")
        if state is MachineState.INTERRUPTED:
            return Outcome(Ending.INTERRUPTED, "taken back by the cloud before it could say so")
        return Outcome(Ending.LOST, f"the machine is {state} without a word")

    def ask_the_price(self) -> Outcome | None:
        """Under a limit: what the machine has cost by now, at prices that may have moved since its launch. The
        machine itself knows of none but that of its launch."""
        allowed = self.allowance.usd if self.allowance is not None else None
        if allowed is None or time.monotonic() - self.priced < PRICES_S:
            return None
        self.priced = time.monotonic()
        soon = api.now() + timedelta(seconds=PRICES_S + TEARDOWN_S)
        if self.machine.deadline is not None:  # it ends itself then, which is soon enough unless prices have risen
            soon = min(soon, datetime.fromtimestamp(self.machine.deadline, UTC))
        try:
            prices = self.cloud.prices_held(self.machine, api.now())
        except LaunchRefused as refused:
            self.log.warning("the cloud does not tell what %s costs: %s", self.machine.id, refused.reason)
            return None
        cost = billed(
            self.machine, self.cloud.least_billed_s, soon, prices, self.lease.sent_bytes if self.lease else 0
        ).usd
        if cost <= allowed:
            return None
        assert self.allowance is not None
        # The last synchronised checkpoint is kept: there is no way to ask the machine for another one.
        reason = f"its machine costs more by the hour than when it was launched. {self.allowance.said}"
        return Outcome(Ending.DEADLINE, reason, limit=self.allowance.limit)

    def told_more(self, outcome: Outcome) -> Outcome:
        """With what the lease knows, where nobody but us says how it ended."""
        if self.lease is None or outcome.sent_bytes:
            return outcome
        generation = outcome.generation or self.lease.generation
        return replace(outcome, sent_bytes=self.lease.sent_bytes, generation=generation)

    def last_word(self) -> Outcome | None:
        return remote_outcome(self.job, self.machine.attempt)

    def heard_by_the_remote(self) -> bool:
        """Whether the agent, out of the API's reach, has left another heartbeat there. One small read a silence."""
        try:
            with load_remote(self.job.remote).job(self.job.key) as remote:
                return self.remote_heartbeat.has_risen(remote, self.lease.beat if self.lease is not None else 0)
        except RemoteError as error:
            self.log.warning("its heartbeat on the remote cannot be read: %s", error)
            return False

    def show(self, progress: Progress) -> None:
        """Move the bar, and log what is new."""
        if progress == self.told or not progress.step:
            return
        self.told = progress
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
    """How the attempt ended. allowance: what it may cost.

    run_count: which start of the parent run this engine is; a higher one on the server ends this engine.
    Raises Superseded, Ended.
    """
    seen = _Watch(job, machine, cloud, lease_id, node_run_id, run_count, allowance)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
        return _until_it_has_ended(seen)


def _until_it_has_ended(seen: _Watch) -> Outcome:
    """Raises Superseded, Ended."""
    patience, begun = True, time.monotonic()
    while True:
        try:
            outcome = seen.look() or seen.ask_the_cloud() or seen.ask_the_price()
            patience = True
        except (httpx.HTTPError, PrefectHTTPStatusError, RemoteError) as error:
            # API or remote is away: nothing is known of the lease, so its silence must not count.
            if patience:
                seen.log.warning("no answer where the machine would be heard, watching on: %s", error)
            patience = False
            seen.changed = time.monotonic()
            outcome = None
        if outcome is not None:
            outcome = believed(outcome, seen.cloud)
            seen.log.info("attempt %d %s: %s", seen.machine.attempt, outcome.ending, outcome.reason)
            return seen.told_more(outcome)
        # A poll by design: the API and three clouds have no common event.
        time.sleep(min(LONG_POLL_S, max(POLL_S, (time.monotonic() - begun) / 120)))
