"""The loop that all stories share: run a node flow on the best machine until it is done.

Price, select, provision, boot, watch, terminate; repeat from the checkpoint if the machine was lost. Plain code inside
the story's own flow. Every step is a task with a persisted result, so a restarted run finds its machine again and
continues to watch it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Machine
from spotwave.flows.loop.errors import JobFailed
from spotwave.flows.loop.job_billing import JobBilling
from spotwave.flows.loop.next_machine import because_of, fitting, next_of, show_price
from spotwave.flows.loop.place import Launched, first_choice, place
from spotwave.flows.loop.placement_rounds import Rounds
from spotwave.flows.loop.run_lock import run_lock
from spotwave.flows.loop.suspension import until_resumed, without_prefect_suspension
from spotwave.node.contract import Ending, Outcome
from spotwave.tasks import api
from spotwave.tasks.cost.quote import quote
from spotwave.tasks.cost.timeline import timeline
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.machine.attempts import another
from spotwave.tasks.machine.await_boot import await_boot
from spotwave.tasks.machine.submit import submit
from spotwave.tasks.machine.suspend import save
from spotwave.tasks.machine.sweep import still_there, sweep
from spotwave.tasks.machine.terminate import terminate
from spotwave.tasks.machine.watch import watch
from spotwave.tasks.market.learned import remember_losses
from spotwave.tasks.market.rank import why
from spotwave.tasks.records import Attempt, Choice, Job, Placed, Quote
from spotwave.tasks.results.continue_from import Continuation, NotContinued, continue_from, read_earlier
from spotwave.tasks.results.progress import percent_done
from spotwave.tasks.results.stage import stage
from spotwave.tasks.run_status import RunStatus, Superseded, run_of, status_of

__all__ = ["Done", "Hooks", "JobFailed", "RunningAttempt", "run_job"]


@dataclass(frozen=True)
class Done:
    """A finished job: all its attempts, the last one completed."""

    attempts: list[Attempt]
    begun: float  #: start of the job, Unix seconds
    quote: Quote  #: the quoted cost


@dataclass(frozen=True)
class RunningAttempt:
    """An attempt whose machine was given its node run."""

    machine: Machine
    cloud: str  #: its document
    lease_id: str
    node_run_id: UUID


def _nothing(attempt: RunningAttempt) -> None:
    """Do nothing: the default for stories without a step of their own."""


@dataclass(frozen=True)
class Hooks:
    """What a story adds to the loop."""

    on_attempt_started: Callable[[RunningAttempt], None] = _nothing  #: called in every attempt, before the watch
    remembers_losses: bool = True  #: whether a lost machine counts against its pool; False if Spotwave caused it
    same_work: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = operator.eq
    """(node parameters of an earlier job, those of this one): whether this job may continue from that checkpoint."""


def run_job(job: Job, hooks: Hooks = Hooks()) -> Done:
    """Run the job on as many machines as necessary, at most `job.max_attempts`.

    Raises JobFailed. A cancelled run terminates its machine and raises TerminationSignal; one that was ended from
    outside raises Ended. One that awaits approval or was suspended by a user raises Pause, and starts again when it is
    resumed.
    """
    with run_lock(job.key), without_prefect_suspension():
        api.tag_run(api.client(), job.flow_run_id, job.key)
        rounds = Rounds(job)
        billing = _opened(job, rounds, hooks)
        billing.approve()
        # Machines are found by tag, not from memory: a launch may have been interrupted.
        with _cleaning_up(job, lambda: _close(job, billing)):
            return _attempts(job, stage(job), billing, hooks, rounds)


def _opened(job: Job, rounds: Rounds, hooks: Hooks) -> JobBilling:
    """Return the billing with the checkpoint to continue from and the quote; launch nothing."""
    inherited = Continuation()
    if job.continue_job is not None:
        try:
            inherited = _continued(job, job.continue_job, hooks)
        except NotContinued as error:
            raise JobFailed(str(error)) from error
        if inherited.problem is not None:
            raise JobFailed(inherited.problem)
    with _cleaning_up(job, lambda: _sweep(job) if rounds.walked and not rounds.chosen else None):
        choice, work_core_h, turn = first_choice(job, rounds)
    job_quote = quote(job, choice.ranked[0], work_core_h, inherited.spent_usd)
    return JobBilling(job, choice, job_quote, inherited, turn.number)


def _continued(job: Job, key: str, hooks: Hooks) -> Continuation:
    """Return the checkpoint of the earlier job. Raises NotContinued."""
    earlier = read_earlier(job, key)
    for one in earlier.jobs:
        if one.node != job.node or not hooks.same_work(one.parameters, job.parameters):
            problem = f"continue_job: {one.key} was a different calculation. Use the same parameters as that job."
            return Continuation(problem=problem)
    return continue_from(job, earlier) if earlier.problem is None else Continuation(problem=earlier.problem)


def _close(job: Job, billing: JobBilling) -> None:
    try:
        _sweep(job, billing)
    finally:
        billing.close()


@contextmanager
def _cleaning_up(job: Job, clean_up: Callable[[], object]) -> Iterator[None]:
    """Clean up however the block ends, unless the machine must keep running: if another engine has taken over the run,
    or this engine is stopped together with its host and the job will be adopted by the next one."""
    keep_machine = False
    try:
        yield
    except Superseded:
        keep_machine = True
        raise
    except TerminationSignal:
        keep_machine = status_of(run_of(api.client(), job.flow_run_id)) is RunStatus.ACTIVE
        raise
    finally:
        if not keep_machine:
            clean_up()


def _sweep(job: Job, billing: JobBilling | None = None) -> None:
    """Terminate the job's machines. If a cloud does not answer, log it for the reaper rather than fail the job."""
    for cloud in job.clouds:
        try:
            machines = still_there(job, cloud)
            sweep(job, cloud, machines)
        except LaunchRefused as refused:
            get_run_logger().error("resources of this job may be left; reap removes them: %s", refused.reason)
            continue
        if billing is not None:
            for machine in machines:
                billing.stray(machine, cloud, api.now())


def _attempts(job: Job, begun: float, billing: JobBilling, hooks: Hooks, rounds: Rounds) -> Done:
    """Run one attempt after another until the job is done."""
    attempts, number = billing.attempts, 0
    suspended_s = 0.0  # not counted towards max_hours
    while another(job, attempts):
        number += 1
        if (held_at := _attempt(job, number, begun + suspended_s, billing, hooks, rounds)) is not None:
            suspended_s += until_resumed(job, number, held_at, rounds.run_count)
            continue
        if hooks.remembers_losses:
            remember_losses(job, attempts[-1])
        timeline(attempts, begun)
        if attempts[-1].outcome.ending is Ending.SUSPENDED:
            suspended_s += until_resumed(job, number, attempts[-1].ended_at.timestamp(), rounds.run_count)
        elif _settled(job, billing, begun + suspended_s):
            return Done(attempts, begun, billing.quote)
    raise JobFailed(
        f"max_attempts: all {job.max_attempts} machines were lost, the last one: {attempts[-1].outcome.reason}. "
        f"{_kept(job, attempts)}"
    )


def _settled(job: Job, billing: JobBilling, begun: float) -> bool:
    """Return True if the job is done, False if another machine should continue. Raises JobFailed if none can."""
    last = billing.attempts[-1]
    match last.outcome.ending:
        case Ending.COMPLETED:
            return True
        case Ending.FAILED:
            raise JobFailed(last.outcome.reason)
        case Ending.DEADLINE:
            kept = _kept(job, billing.attempts)
            if (limit := billing.limit_that_ended(last, _deadline(job, begun))) is not None:
                rest = billing.rest(percent_done(job, last.number))
                raise JobFailed(f"{limit}. {rest} {kept} {billing.how_to_go_on()}")
            raise JobFailed(f"max_hours: {job.max_hours:g} h were not enough; allow more. {kept}")
        case Ending.INTERRUPTED | Ending.LOST | Ending.FORGOTTEN | Ending.SUSPENDED | Ending.HOST_DOWN:
            if (problem := next_of(job, billing.attempts).problem) is not None:
                raise JobFailed(f"{problem.rstrip('.')}. {_kept(job, billing.attempts)}")
            return False


def _deadline(job: Job, begun: float) -> float:
    return begun + job.max_hours * 3600


def _attempt(
    job: Job,
    number: int,
    begun: float,
    billing: JobBilling,
    hooks: Hooks,
    rounds: Rounds,
) -> float | None:
    """Run one attempt, from fetching the market to terminating the machine, and add it to the billing.

    Returns None, or the time (Unix seconds) at which the job was suspended before it had a machine. Its attempt number
    then counts as used, since the choice and the allowance made for it will be outdated.
    """
    earlier, deadline = billing.attempts, _deadline(job, begun)
    job, bigger = fitting(job, earlier)
    with because_of(bigger):
        begins = place(job, number, billing, rounds, deadline, _kept(job, earlier))
    if not isinstance(begins, Launched):
        return begins
    placed, choice, lease_id = begins.placed, begins.choice, begins.lease_id
    cloud = _block_of(job, placed.machine.offer.cloud)
    node_run_id: UUID | None = None
    outcome: Outcome | None = None

    because = "; ".join(filter(None, [bigger, _why(choice, placed)]))
    billing.begun(placed, cloud, because)
    if bigger:
        show_price(placed.machine, earlier[-1].machine)

    def tear_down() -> None:
        gone = _terminated(job, placed, cloud, lease_id, node_run_id, outcome)
        billing.over(placed, cloud, gone, outcome, because, node_run_id)

    with _cleaning_up(job, tear_down):
        outcome = await_boot(job, cloud, placed.machine, rounds.run_count)
        if outcome is None:
            node_run_id = submit(job, number)
            hooks.on_attempt_started(RunningAttempt(placed.machine, cloud, lease_id, node_run_id))
            outcome = watch(job, placed.machine, cloud, lease_id, node_run_id, rounds.run_count, begins.allowance)
            if outcome.ending is Ending.SUSPENDED:
                outcome = save(job, placed.machine, cloud, lease_id, outcome)
    return None


def _terminated(
    job: Job, placed: Placed, cloud: str, lease_id: str, node_run_id: UUID | None, outcome: Outcome | None
) -> datetime | None:
    """Terminate the machine and return when it was gone.

    None if the cloud does not answer although the work is done: the machine stops itself, the reaper checks it, and
    the results need not wait for either.
    """
    completed = outcome is not None and outcome.ending is Ending.COMPLETED
    try:
        return terminate(job, placed.machine, cloud, lease_id, node_run_id, completed)
    except LaunchRefused as refused:
        if not completed:
            raise
        get_run_logger().error("%s may still be running; reap removes it: %s", placed.machine.id, refused.reason)
        return None


def _why(choice: Choice, placed: Placed) -> str:
    """Return why this machine was chosen: the choice's reason, or that better offers were refused."""
    if placed.machine.offer.label == choice.ranked[0].offer.label:
        return why(choice)
    return f"best of those not refused ({len(placed.refusals)} refused before it)"


def _block_of(job: Job, kind: str) -> str:
    """Return the job's Cloud document of this kind."""
    return next(name for name in job.clouds if load_cloud(name).kind == kind)


def _kept(job: Job, attempts: list[Attempt]) -> str:
    """Say where the results so far are stored."""
    generations = [a.outcome.generation for a in attempts if a.outcome.generation]
    newest = f"checkpoint {generations[-1]}" if generations else "no checkpoint yet"
    return f"Everything so far is kept ({newest}) under {job.key} on {job.remote}."
