"""What the attempts so far ask of the next machine, and what that costs, said in the run's log.

Plain code: the same attempts give the same, so that a restarted run finds its steps kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect.logging import get_run_logger

from spotwave.blocks.models import Machine
from spotwave.flows.loop.errors import JobFailed
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.machine import bigger_machine
from spotwave.tasks.records import Attempt, Job


def next_of(job: Job, attempts: Sequence[Attempt]) -> bigger_machine.NextMachine:
    """What the next machine must have, or why there should be none."""
    fixed = [cloud.kind for cloud in map(load_cloud, job.clouds) if not cloud.has_market] if attempts else []
    return bigger_machine.next_machine(job.requirements, attempts, fixed)


def fitting(job: Job, attempts: Sequence[Attempt]) -> tuple[Job, str]:
    """The job with the requirements of its next machine, and why they are more than its own."""
    needs = next_of(job, attempts)
    if needs.why:
        get_run_logger().warning("the next machine must be bigger. %s", needs.why)
    return job.model_copy(update={"requirements": needs.requirements}), needs.why


@contextmanager
def because_of(why: str) -> Iterator[None]:
    """A job that ends for want of a bigger machine tells why it had to be bigger."""
    try:
        yield
    except JobFailed as error:
        if not why:
            raise
        raise JobFailed(f"{why}. {error}") from error


def show_price(machine: Machine, before: Machine) -> None:
    """What the bigger machine costs, after the one that was too small."""
    get_run_logger().warning(
        "the bigger machine: %s, %g GiB, %.4f USD/h with disk and address, after %.4f USD/h for %g GiB",
        machine.offer.label,
        machine.offer.memory_gib,
        machine.usd_h,
        before.usd_h,
        before.offer.memory_gib,
    )
