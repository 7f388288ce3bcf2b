"""Steps at the end of a job: remove whatever still carries its tag: machines, secrets, and other leftovers."""

from __future__ import annotations

from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.models import Machine
from spotwave.tasks import api
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.records import Job

DELAYS_S: list[float] = [1, 2, 5, 10, 30]


@task(name="still_there", retries=len(DELAYS_S), retry_delay_seconds=DELAYS_S)
def still_there(job: Job, cloud: str) -> list[Machine]:
    """Return the machines with the job's tag. An interrupted launch may have left one that is recorded nowhere else.

    cloud: its Cloud document.
    """
    return load_cloud(cloud).find(job.key)


@task(name="sweep", retries=len(DELAYS_S), retry_delay_seconds=DELAYS_S)
def sweep(job: Job, cloud: str, machines: list[Machine]) -> None:
    """Remove these machines, and everything else with the job's tag. Safe to repeat."""
    log, block = get_run_logger(), load_cloud(cloud)
    for machine in machines:
        log.warning("%s was still running; terminated", machine.id)
        block.terminate(machine)
        api.remove_queue_and_worker(api.client(), machine.name)
    for leftover in block.leftovers(job.key):
        block.remove(leftover)
        log.info("deleted %s %s of this job", leftover.kind, leftover.id)
