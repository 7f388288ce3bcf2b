"""Steps of a job that somebody suspends: its machine saves before it goes, and the time until the resuming is known."""

from __future__ import annotations

import time

import httpx
from prefect import task
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger

from spotwave.blocks.models import Machine, MachineState
from spotwave.node.contract import FENCE_FILE, OUTCOME_FILE, Fence, Outcome, attempt_dir
from spotwave.node.storage.remote import Remote, RemoteError
from spotwave.tasks import api
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud, load_remote
from spotwave.tasks.machine.watch import STATE_S, told_state
from spotwave.tasks.records import Job
from spotwave.tasks.run_status import ended

ASKED_S = 60.0  # for the machine to hear of it, save and say so; then it goes all the same
SAVE_S = 45.0  # of these; a machine out of the API's reach hears of it after a beat of 15 s only
POLL_S = 1.0


@task(name="save", persist_result=True, cache_policy=ONCE)
def save(job: Job, machine: Machine, cloud: str, lease_id: str, outcome: Outcome) -> Outcome:
    """Have a working machine stop with a checkpoint, and wait for its word, a minute at most; that word, or `outcome`.

    It is told by a letter on the remote, which an agent reads that finds its lease gone. cloud: its Cloud document.
    """
    log = get_run_logger()
    try:
        with load_remote(job.remote).job(job.key) as remote:
            letter = Fence(save_s=SAVE_S).to_json().encode()
            remote.write(f"{attempt_dir(machine.attempt)}/{FENCE_FILE}", letter)
            api.fence(api.client(), lease_id)
            if (told := _last_word(job, machine, cloud, remote)) is not None:
                log.info("it has saved: %s, checkpoint %s", told.reason, told.generation)
                return told
    except (RemoteError, httpx.HTTPError, PrefectHTTPStatusError) as error:
        log.warning("the machine could not be asked to save, or not be heard: %s", error)
    log.warning("no word of it: the last checkpoint that it has sent counts (%s)", outcome.generation)
    return outcome


def _last_word(job: Job, machine: Machine, cloud: str, remote: Remote) -> Outcome | None:
    """None if there is none in time, the machine is gone, or the job is ended meanwhile. Raises RemoteError, or
    what the client does where the API does not answer."""
    provider, prefect = load_cloud(cloud), api.client()
    limit, asked = time.monotonic() + ASKED_S, time.monotonic()
    while True:
        try:
            if told := remote.read(f"{attempt_dir(machine.attempt)}/{OUTCOME_FILE}"):
                return Outcome.from_json(told)
        except ValueError as error:  # as if it had said nothing
            get_run_logger().warning("its outcome on the remote cannot be read: %s", error)
            return None
        if time.monotonic() >= limit:
            return None
        if time.monotonic() - asked >= STATE_S:
            asked = time.monotonic()
            if ended(prefect, job.flow_run_id):
                return None
            if told_state(provider, machine) in (MachineState.GONE, MachineState.INTERRUPTED):
                limit = asked  # one more look
        time.sleep(POLL_S)  # a remote has no event to wait on


@task(name="resumed", persist_result=True, cache_policy=ONCE)
def resumed(job: Job, attempt: int) -> float:
    """Unix seconds of the first start of this run after it was suspended in that attempt."""
    return time.time()
