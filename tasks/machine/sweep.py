"""Steps: at the end of a job, whatever still carries its tag goes: machines, secrets, and what machines left behind."""

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
    """The machines with the job's tag: a launch may have been cut short, and nobody else remembers what it has
    launched. cloud: its Cloud document."""
    return load_cloud(cloud).find(job.key)


@task(name="sweep", retries=len(DELAYS_S), retry_delay_seconds=DELAYS_S)
def sweep(job: Job, cloud: str, machines: list[Machine]) -> None:
    """Remove these machines, and by tag what else there is. Safe to repeat."""
    log, block = get_run_logger(), load_cloud(cloud)
    for machine in machines:
        log.warning("%s was still there; terminated", machine.id)
        block.terminate(machine)
        api.remove_queue_and_worker(api.client(), machine.name)
    for leftover in block.leftovers(job.key):
        block.remove(leftover)
        log.info("%s %s of this job is deleted", leftover.kind, leftover.id)
