"""Step: wait until the machine's Prefect worker polls its queue."""

from __future__ import annotations

import time

from prefect import task
from prefect.logging import get_run_logger

from blocks.cloud import Machine, MachineState
from node.contract import MACHINE_FILE, Ending, Outcome, attempt_dir
from node.remote import RemoteError
from tasks import api
from tasks.documents import load_cloud, load_remote
from tasks.job import Job
from tasks.once import ONCE

BOOT_S = 900.0
POLL_S = 0.5


@task(name="await_boot", persist_result=True, cache_policy=ONCE)
def await_boot(job: Job, cloud: str, machine: Machine) -> Outcome | None:
    """None once the worker is online; how the attempt ended if it will never be."""
    log = get_run_logger()
    prefect, provider = api.client(), load_cloud(cloud)
    _record(job, machine)
    limit = time.monotonic() + BOOT_S
    while time.monotonic() < limit:
        if api.worker_is_online(prefect, machine.name):
            log.info("%s is up", machine.name)
            return None
        if (state := provider.state(machine)) not in (MachineState.PENDING, MachineState.RUNNING):
            return Outcome(Ending.LOST, f"{machine.id} was {state} before it was up. {_last_words(job, machine)}")
        time.sleep(POLL_S)  # the worker's row is the event, and Prefect offers no way to wait on it
    return Outcome(Ending.LOST, f"{machine.id} was not up after {BOOT_S:.0f} s. {_last_words(job, machine)}")


def _record(job: Job, machine: Machine) -> None:
    """machine.json beside the attempt's other files, for whoever looks at the remote later."""
    path = f"{attempt_dir(machine.attempt)}/{MACHINE_FILE}"
    try:
        with load_remote(job.remote).job(job.key) as remote:
            remote.write(path, machine.model_dump_json(indent=1).encode())
    except RemoteError as error:
        get_run_logger().warning("%s was not written to the remote: %s", path, error)


def _last_words(job: Job, machine: Machine) -> str:
    """The tail of the bootstrap's log, if it reached the remote."""
    with load_remote(job.remote).job(job.key) as remote:
        told = remote.read(f"{attempt_dir(machine.attempt)}/bootstrap.log")
    lines = (told or b"").decode(errors="replace").strip().splitlines()
    return "Its bootstrap said: " + " | ".join(lines[-5:]) if lines else "It said nothing."
