"""Step: wait for the machine's agent: its Prefect worker polls its queue, or its first heartbeat is on the remote."""

from __future__ import annotations

import time

from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.models import Machine, MachineState
from spotwave.node.contract import MACHINE_FILE, Ending, Outcome, attempt_dir
from spotwave.node.storage.remote import RemoteError
from spotwave.node.untrusted.plain_text import plain
from spotwave.tasks import api
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud, load_remote
from spotwave.tasks.machine.channel import channel_of
from spotwave.tasks.machine.remote_outcome import remote_outcome
from spotwave.tasks.machine.watch import STATE_S, SUSPENDED, current_state
from spotwave.tasks.records import Job
from spotwave.tasks.run_status import still_active

BOOT_S = 900.0
POLL_S = 1.0
LAST_BYTES = 4096  # of the bootstrap's log


@task(name="await_boot", persist_result=True, cache_policy=ONCE - "run_count")
def await_boot(job: Job, cloud: str, machine: Machine, run_count: int) -> Outcome | None:
    """Return None once the machine is up, or the outcome of the attempt if it never will be.

    run_count: which start of the parent run this engine is. Raises Superseded, Ended.
    """
    log, prefect = get_run_logger(), api.client()
    line, provider = channel_of(job, machine.attempt), load_cloud(cloud)
    _record(job, machine)
    limit, asked = time.monotonic() + BOOT_S, float("-inf")
    while time.monotonic() < limit:
        if time.monotonic() - asked >= STATE_S:
            asked = time.monotonic()
            if not still_active(prefect, job.flow_run_id, run_count):
                return Outcome(Ending.SUSPENDED, SUSPENDED)
            if (state := current_state(provider, machine)) not in (MachineState.PENDING, MachineState.RUNNING, None):
                # An agent whose worker failed to start, e.g. without access to the API, has written an outcome.
                outcome = remote_outcome(job, machine.attempt)
                if outcome is not None and outcome.ending is not Ending.COMPLETED:
                    return outcome
                ending = Ending.HOST_DOWN if state is MachineState.HOST_DOWN else Ending.LOST
                return Outcome(ending, f"{machine.id} was {state} before it was up. {_bootstrap_log(job, machine)}")
        if line.is_up():
            log.info("%s is up", machine.name)
            return None
        time.sleep(POLL_S)  # neither Prefect nor a remote can notify
    return Outcome(Ending.LOST, f"{machine.id} was not up after {BOOT_S:.0f} s. {_bootstrap_log(job, machine)}")


def _record(job: Job, machine: Machine) -> None:
    """Write machine.json beside the attempt's other files, for later inspection of the remote."""
    path = f"{attempt_dir(machine.attempt)}/{MACHINE_FILE}"
    try:
        with load_remote(job.remote).job(job.key) as remote:
            remote.write(path, machine.model_dump_json(indent=1).encode())
    except RemoteError as error:
        get_run_logger().warning("%s was not written to the remote: %s", path, error)


def _bootstrap_log(job: Job, machine: Machine) -> str:
    """Return the tail of the bootstrap's log, if it reached the remote."""
    try:
        with load_remote(job.remote).job(job.key) as remote:
            log_tail = remote.tail(f"{attempt_dir(machine.attempt)}/bootstrap.log", LAST_BYTES)
    except RemoteError as error:
        return f"Its bootstrap log cannot be read: {error}"
    lines = plain(log_tail.decode(errors="replace"), LAST_BYTES, lines=True).strip().splitlines()
    return "Its bootstrap log: " + " | ".join(plain(line) for line in lines[-5:]) if lines else "No bootstrap log."
