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

from blocks.cloud import LaunchRefused
from flows.engine import sole_engine
from node.contract import Ending
from tasks import api
from tasks.await_boot import await_boot
from tasks.documents import load_cloud
from tasks.fetch_prices import fetch_prices
from tasks.history import recall, remember_losses
from tasks.job import Attempt, Choice, Job, Placed
from tasks.money import Work
from tasks.provision import NoMachine, open_lease, provision
from tasks.rank import why
from tasks.select import select
from tasks.stage import stage
from tasks.submit import submit
from tasks.sweep import sweep
from tasks.terminate import terminate
from tasks.timeline import timeline
from tasks.watch import Superseded, watch


class JobFailed(Exception):
    """The job ended without a result; the message is one line for the user, with what to do."""


@dataclass(frozen=True)
class Done:
    """A finished job: all its attempts, the last one completed."""

    attempts: list[Attempt]
    begun: float  #: Unix seconds


def run_to_the_end(job: Job) -> Done:
    """Carry the job through as many machines as it takes, at most `job.max_attempts`.

    Raises JobFailed. A cancelled run terminates its machine and raises TerminationSignal.
    """
    with sole_engine(job.key):
        api.tag_run(api.client(), job.flow_run_id, job.key)
        # By tag, whatever this process remembers: a launch may have been cut short.
        with _afterwards(job, lambda: _sweep(job)):
            return _attempts(job, stage(job))


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


def _sweep(job: Job) -> None:
    """What a cloud that does not answer may still hold is the reaper's, and no reason to lose a finished job."""
    try:
        sweep(job)
    except LaunchRefused as refused:
        get_run_logger().error("something of this job may be left, for reap to remove: %s", refused.reason)


def _attempts(job: Job, begun: float) -> Done:
    """One attempt after the other until the job is settled."""
    attempts: list[Attempt] = []
    while len(attempts) < job.max_attempts:
        attempts.append(_attempt(job, begun, attempts))
        remember_losses(job, attempts[-1])
        timeline(attempts, begun)
        if _settled(job, attempts):
            return Done(attempts, begun)
    raise JobFailed(
        f"max_attempts: all {job.max_attempts} machines were lost, the last one: {attempts[-1].outcome.reason}. "
        f"{_kept(job, attempts)}"
    )


def _settled(job: Job, attempts: list[Attempt]) -> bool:
    """True if the job is done, False if another machine should go on. Raises JobFailed if none could."""
    outcome = attempts[-1].outcome
    match outcome.ending:
        case Ending.COMPLETED:
            return True
        case Ending.FAILED:
            raise JobFailed(outcome.reason)
        case Ending.DEADLINE:
            raise JobFailed(f"max_hours: {job.max_hours:g} h were not enough; allow more. {_kept(job, attempts)}")
        case Ending.INTERRUPTED | Ending.LOST | Ending.FORGOTTEN:
            return False


def _attempt(job: Job, begun: float, earlier: list[Attempt]) -> Attempt:
    """One machine's go, from a fresh look at the market to its termination."""
    number = len(earlier) + 1
    choice = _choose(job, number, earlier)
    lease_id = open_lease(job, number)
    try:
        deadline = begun + job.max_hours * 3600
        placed = provision(job, number, choice, lease_id, deadline, flow_run.run_count)
    except NoMachine as error:
        raise JobFailed(f"{error}. {_kept(job, earlier)}") from error
    cloud = _block_of(job, placed.machine.offer.cloud)
    node_run_id: UUID | None = None
    gone: datetime | None = None

    def tear_down() -> None:
        nonlocal gone
        gone = terminate(job, placed.machine, cloud, lease_id, node_run_id)

    with _afterwards(job, tear_down):
        outcome = await_boot(job, cloud, placed.machine)
        if outcome is None:
            node_run_id = submit(job, number)
            outcome = watch(job, placed.machine, cloud, lease_id, node_run_id, flow_run.run_count)
    return Attempt(
        number=number,
        machine=placed.machine,
        node_run_id=node_run_id,
        refusals=placed.refusals,
        why=_why(choice, placed),
        outcome=outcome,
        ended_at=gone or api.now(),
    )


def _choose(job: Job, number: int, earlier: list[Attempt]) -> Choice:
    """A fresh market and a fresh choice; pools that were lost or refused come last."""
    cooling = {a.machine.offer.label: f"lost in attempt {a.number}" for a in earlier}
    cooling |= {r.offer.label: f"refused in attempt {a.number}" for a in earlier for r in a.refusals}
    speeds, learned_core_h, cooling_all = recall(job, number)
    work = Work(
        core_h=job.work_core_h or learned_core_h or 1.0,
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
    return choice


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
