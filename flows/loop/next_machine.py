"""What the attempts so far require of the next machine, and what that costs.

Plain code without side effects beyond logs: the same attempts give the same result, so a restarted run reuses the
persisted results of its tasks.
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
    """Return what the next machine must have, or why there should be none."""
    fixed = [cloud.kind for cloud in map(load_cloud, job.clouds) if not cloud.has_market] if attempts else []
    return bigger_machine.next_machine(job.requirements, attempts, fixed)


def fitting(job: Job, attempts: Sequence[Attempt]) -> tuple[Job, str]:
    """Return the job with the requirements of its next machine, and why they exceed its own."""
    needs = next_of(job, attempts)
    if needs.why:
        get_run_logger().warning("the next machine must be bigger. %s", needs.why)
    return job.model_copy(update={"requirements": needs.requirements}), needs.why


@contextmanager
def because_of(why: str) -> Iterator[None]:
    """Put the reason for a bigger machine in front of the error of a job that finds none."""
    try:
        yield
    except JobFailed as error:
        if not why:
            raise
        raise JobFailed(f"{why}. {error}") from error


def show_price(machine: Machine, before: Machine) -> None:
    """Log what the bigger machine costs, compared with the one that was too small."""
    get_run_logger().warning(
        "the bigger machine: %s, %g GiB, %.4f USD/h with disk and address, after %.4f USD/h for %g GiB",
        machine.offer.label,
        machine.offer.memory_gib,
        machine.usd_h,
        before.usd_h,
        before.offer.memory_gib,
    )
