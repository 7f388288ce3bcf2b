"""Step: at the end of a job, whatever still carries its tag goes: machines, secrets, and what machines left behind."""

from __future__ import annotations

from prefect import task
from prefect.logging import get_run_logger

from tasks import api
from tasks.documents import load_cloud
from tasks.job import Job


@task(name="sweep", retries=5, retry_delay_seconds=[1, 2, 5, 10, 30])
def sweep(job: Job) -> None:
    """By tag, whatever this process remembers: a launch may have been cut short. Safe to repeat."""
    log = get_run_logger()
    for cloud in map(load_cloud, job.clouds):
        for machine in cloud.find(job.key):
            log.warning("%s was still there; terminated", machine.id)
            cloud.terminate(machine)
            api.remove_queue_and_worker(api.client(), machine.name)
        for leftover in cloud.leftovers(job.key):
            cloud.remove(leftover)
            log.info("%s %s of this job is deleted", leftover.kind, leftover.id)
