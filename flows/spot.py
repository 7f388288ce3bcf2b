"""The loop that all stories share: run *this node flow* on the best machine until it is done.

price, select, provision, boot, watch, terminate; again from the checkpoint if the machine was lost. Plain code
inside the story's own flow: every step is a task whose result is kept, so that a restarted run finds its machine
again and goes on watching it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from blocks.cloud import LaunchRefused, Machine
from flows.engine import sole_engine
from flows.failed import JobFailed
from flows.next_machine import because_of, fitting, next_of, show_price
from flows.purse import Purse
from node.contract import Cause, Ending, Outcome
from tasks import api
from tasks.await_boot import await_boot
from tasks.documents import load_cloud
from tasks.fetch_prices import fetch_prices
from tasks.history import recall, remember_losses
from tasks.inherit import Inherited, NotInherited, inherit
from tasks.job import Attempt, Choice, Job, Placed, Quote
from tasks.money import Work
from tasks.progress import percent_done
from tasks.provision import NoMachine, open_lease, provision
from tasks.quote import quote
from tasks.rank import why
from tasks.select import select
from tasks.stage import stage
from tasks.submit import submit
from tasks.sweep import still_there, sweep
from tasks.terminate import terminate
from tasks.timeline import timeline
from tasks.watch import Superseded, watch

__all__ = ["Beside", "Done", "JobFailed", "Working", "run_to_the_end"]


@dataclass(frozen=True)
class Done:
    """A finished job: all its attempts, the last one completed."""

    attempts: list[Attempt]
    begun: float  #: Unix seconds
    quote: Quote  #: what it was to cost


@dataclass(frozen=True)
class Working:
    """An attempt whose machine has been given its run."""

    machine: Machine
    cloud: str  #: its document
    lease_id: str
    node_run_id: UUID


Beside = Callable[[Working], None]  #: a step of the story's own in every attempt, before it is watched


def run_to_the_end(job: Job, beside: Beside | None = None) -> Done:
    """Carry the job through as many machines as it takes, at most `job.max_attempts`.

    Raises JobFailed. A cancelled run terminates its machine and raises TerminationSignal. One whose quote awaits
    approval is suspended: it raises Pause, and is run anew with the answer.
    """
    with sole_engine(job.key):
        api.tag_run(api.client(), job.flow_run_id, job.key)
        purse = _opened(job)
        purse.approve()
        # By tag, whatever this process remembers: a launch may have been cut short.
        with _afterwards(job, lambda: _close(job, purse)):
            return _attempts(job, stage(job), purse, beside)


def _opened(job: Job) -> Purse:
    """The checkpoint to go on from, and the quote; nothing is launched."""
    inherited = Inherited()
    if job.continue_job is not None:
        try:
            inherited = inherit(job, job.continue_job)
        except NotInherited as error:
            raise JobFailed(str(error)) from error
        if inherited.problem is not None:
            raise JobFailed(inherited.problem)
    choice, work_core_h = _choose(job, 1, [])
    return Purse(job, choice, quote(job, choice.ranked[0], work_core_h), inherited)


def _close(job: Job, purse: Purse) -> None:
    try:
        _sweep(job, purse)
    finally:
        purse.close()


@contextmanager
def _afterwards(job: Job, clean_up: Callable[[], object]) -> Iterator[None]:
    """Clean up however the block ends, except where the machine is to live on: a newer engine has taken the run
    over, or this one is stopped together with its host, and the job will be adopted by the next."""
    lives_on = False
    try:
        yield
    except Superseded:
        lives_on = True
        raise
    except TerminationSignal:
        lives_on = not api.being_cancelled(api.client(), job.flow_run_id)
        raise
    finally:
        if not lives_on:
            clean_up()


def _sweep(job: Job, purse: Purse) -> None:
    """What a cloud that does not answer may still hold is the reaper's, and no reason to lose a finished job."""
    for cloud in job.clouds:
        try:
            machines = still_there(job, cloud)
            sweep(job, cloud, machines)
        except LaunchRefused as refused:
            get_run_logger().error("something of this job may be left, for reap to remove: %s", refused.reason)
            continue
        for machine in machines:
            purse.stray(machine, cloud, api.now())


def _attempts(job: Job, begun: float, purse: Purse, beside: Beside | None) -> Done:
    """One attempt after the other until the job is settled."""
    attempts = purse.attempts
    while len(attempts) < job.max_attempts:
        _attempt(job, begun, purse, beside)
        if beside is None:  # what a rehearsal does to a machine says nothing of its pool
            remember_losses(job, attempts[-1])
        timeline(attempts, begun)
        if _settled(job, purse, begun):
            return Done(attempts, begun, purse.quote)
    raise JobFailed(
        f"max_attempts: all {job.max_attempts} machines were lost, the last one: {attempts[-1].outcome.reason}. "
        f"{_kept(job, attempts)}"
    )


def _settled(job: Job, purse: Purse, begun: float) -> bool:
    """True if the job is done, False if another machine should go on. Raises JobFailed if none could."""
    last = purse.attempts[-1]
    match last.outcome.ending:
        case Ending.COMPLETED:
            return True
        case Ending.FAILED:
            raise JobFailed(last.outcome.reason)
        case Ending.DEADLINE:
            kept = _kept(job, purse.attempts)
            if (limit := purse.limit_that_ended(last, _deadline(job, begun))) is not None:
                rest = purse.rest(percent_done(job, last.number))
                raise JobFailed(f"{limit}. {rest} {kept} {purse.how_to_go_on()}")
            raise JobFailed(f"max_hours: {job.max_hours:g} h were not enough; allow more. {kept}")
        case Ending.INTERRUPTED | Ending.LOST | Ending.FORGOTTEN:
            if (problem := next_of(job, purse.attempts).problem) is not None:
                raise JobFailed(f"{problem.rstrip('.')}. {_kept(job, purse.attempts)}")
            return False


def _deadline(job: Job, begun: float) -> float:
    return begun + job.max_hours * 3600


def _attempt(job: Job, begun: float, purse: Purse, beside: Beside | None) -> None:
    """One machine's go, from a fresh look at the market to its termination; then it is among the purse's attempts."""
    earlier, deadline = purse.attempts, _deadline(job, begun)
    number = len(earlier) + 1
    job, bigger = fitting(job, earlier)
    with because_of(bigger):
        choice = _choose(job, number, earlier)[0] if earlier else purse.first
        allowance = purse.allow(job, number, choice, deadline)
    lease_id = open_lease(job, number)
    try:
        placed = provision(job, number, choice, lease_id, deadline, flow_run.run_count, allowance)
    except NoMachine as error:
        purse.unused(number)
        raise JobFailed(f"{error}. {_kept(job, earlier)}") from error
    cloud = _block_of(job, placed.machine.offer.cloud)
    node_run_id: UUID | None = None
    outcome: Outcome | None = None

    because = "; ".join(filter(None, [bigger, _why(choice, placed)]))
    purse.begun(placed, cloud, because)
    if bigger:
        show_price(placed.machine, earlier[-1].machine)

    def tear_down() -> None:
        gone = _terminated(job, placed, cloud, lease_id, node_run_id, outcome)
        purse.over(placed, cloud, gone, outcome, because, node_run_id)

    with _afterwards(job, tear_down):
        outcome = await_boot(job, cloud, placed.machine)
        if outcome is None:
            node_run_id = submit(job, number)
            if beside is not None:
                beside(Working(placed.machine, cloud, lease_id, node_run_id))
            outcome = watch(job, placed.machine, cloud, lease_id, node_run_id, flow_run.run_count, allowance)


def _terminated(
    job: Job, placed: Placed, cloud: str, lease_id: str, node_run_id: UUID | None, outcome: Outcome | None
) -> datetime | None:
    """When the machine was gone. None where a cloud does not answer although the work is done: the machine ends
    itself, the reaper looks after it, and the results must not wait for either."""
    completed = outcome is not None and outcome.ending is Ending.COMPLETED
    try:
        return terminate(job, placed.machine, cloud, lease_id, node_run_id, completed)
    except LaunchRefused as refused:
        if not completed:
            raise
        get_run_logger().error("%s may still be there, for reap to remove: %s", placed.machine.id, refused.reason)
        return None


def _choose(job: Job, number: int, earlier: list[Attempt]) -> tuple[Choice, float | None]:
    """A fresh market and a fresh choice; pools that were lost or refused come last. And the work in core-hours of a
    reference core, None if nobody knows it."""
    taken = [a for a in earlier if a.outcome.cause not in (Cause.MEMORY, Cause.DISK)]  # else the pool is not at fault
    cooling = {a.machine.offer.label: f"lost in attempt {a.number}" for a in taken}
    cooling |= {r.offer.label: f"refused in attempt {a.number}" for a in earlier for r in a.refusals}
    speeds, learned_core_h, cooling_all = recall(job, number)
    known_core_h = job.work_core_h or learned_core_h
    work = Work(
        core_h=known_core_h or 1.0,
        disk_gib=job.requirements.disk_gib,
        results_gib=job.results_gib,
    )
    market = fetch_prices(job.clouds, job.store)
    choice = select(
        market,
        job.requirements,
        work,
        cooling_all | cooling,
        number,
        clouds=job.clouds,
        objective=job.objective,
        speeds=speeds,
    )
    if choice.remedy is not None:
        raise JobFailed(choice.remedy)
    return choice, known_core_h


def _why(choice: Choice, placed: Placed) -> str:
    """Why this machine: the choice's reason, or that the better ones were refused."""
    if placed.machine.offer.label == choice.ranked[0].offer.label:
        return why(choice)
    return f"best of those not refused ({len(placed.refusals)} refused before it)"


def _block_of(job: Job, kind: str) -> str:
    """The job's Cloud document of this kind."""
    return next(name for name in job.clouds if load_cloud(name).kind == kind)


def _kept(job: Job, attempts: list[Attempt]) -> str:
    """Where everything so far lies."""
    generations = [a.outcome.generation for a in attempts if a.outcome.generation]
    newest = f"checkpoint {generations[-1]}" if generations else "no checkpoint yet"
    return f"Everything so far is kept ({newest}) under {job.key} on {job.remote}."
