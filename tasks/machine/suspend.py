"""Steps of a job that a user suspends: its machine saves before it is terminated, and the time of the suspension."""

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
from spotwave.tasks.machine.watch import STATE_S, current_state
from spotwave.tasks.records import Job
from spotwave.tasks.run_status import ended

ASKED_S = 60.0  # time for the machine to be notified, save and report; then it is terminated in any case
SAVE_S = 45.0  # part of it for saving; a machine that cannot reach the API is notified only after a beat of 15 s
POLL_S = 1.0


@task(name="save", persist_result=True, cache_policy=ONCE)
def save(job: Job, machine: Machine, cloud: str, lease_id: str, outcome: Outcome) -> Outcome:
    """Have a working machine stop with a checkpoint, and wait up to a minute for its outcome; return that or `outcome`.

    The machine is notified by a file on the remote, which an agent reads when its lease is gone. cloud: its Cloud
    document.
    """
    log = get_run_logger()
    try:
        with load_remote(job.remote).job(job.key) as remote:
            letter = Fence(save_s=SAVE_S).to_json().encode()
            remote.write(f"{attempt_dir(machine.attempt)}/{FENCE_FILE}", letter)
            api.fence(api.client(), lease_id)
            if (final := _wait_for_outcome(job, machine, cloud, remote)) is not None:
                log.info("it has saved: %s, checkpoint %s", final.reason, final.generation)
                return final
    except (RemoteError, httpx.HTTPError, PrefectHTTPStatusError) as error:
        log.warning("the machine could not be asked to save, or its answer not be read: %s", error)
    log.warning("no answer: the job continues from the last uploaded checkpoint (%s)", outcome.generation)
    return outcome


def _wait_for_outcome(job: Job, machine: Machine, cloud: str, remote: Remote) -> Outcome | None:
    """Wait for the machine's outcome; None if there is none in time, the machine is gone, or the job is ended.

    Raises RemoteError, or the client's error if the API does not answer.
    """
    provider, prefect = load_cloud(cloud), api.client()
    limit, asked = time.monotonic() + ASKED_S, time.monotonic()
    while True:
        try:
            if content := remote.read(f"{attempt_dir(machine.attempt)}/{OUTCOME_FILE}"):
                return Outcome.from_json(content)
        except ValueError as error:  # treated as missing
            get_run_logger().warning("its outcome on the remote cannot be read: %s", error)
            return None
        if time.monotonic() >= limit:
            return None
        if time.monotonic() - asked >= STATE_S:
            asked = time.monotonic()
            if ended(prefect, job.flow_run_id):
                return None
            if current_state(provider, machine) in (MachineState.GONE, MachineState.INTERRUPTED):
                limit = asked  # read once more
        time.sleep(POLL_S)  # a remote cannot notify


@task(name="resumed", persist_result=True, cache_policy=ONCE)
def resumed(job: Job, attempt: int) -> float:
    """Return the Unix time of the first start of this run after it was suspended in that attempt."""
    return time.time()
