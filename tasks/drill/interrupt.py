"""Steps of a drill: force the interruption once a checkpoint exists, and check that nothing is left at the end."""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

import httpx
from prefect import task
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Machine, MachineState
from spotwave.node.contract import CHECKPOINT_DIR, COUNT_FILE, Phase
from spotwave.node.storage.remote import RemoteError
from spotwave.node.untrusted.strict_json import load_object
from spotwave.node.untrusted.strict_model import named, whole
from spotwave.tasks import api
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud, load_remote
from spotwave.tasks.machine.channel import channel_of
from spotwave.tasks.machine.watch import STATE_S, current_state
from spotwave.tasks.records import Job
from spotwave.tasks.run_status import RunStatus, run_of, status_of

SAVED_WITHIN_S = 600.0  # time limit of the first checkpoint, which is a few bytes
GONE_WITHIN_S = 60.0  # how long lists may still show deleted resources
POLL_S = 1.0
_TOKEN, _SECONDS = named(r"[\w-]{1,100}"), whole()


class ForcedInterruption(BaseModel):
    """The requested interruption, and what the machine had saved by then."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    asked_at: datetime
    generation: str  #: checkpoint on the remote
    token: str
    seconds: int
    refused: str | None = None  #: why the cloud refused


class _NotYet(Exception):
    """The machine has saved no checkpoint yet."""


@task(name="force_interruption", persist_result=True, cache_policy=ONCE)
def force_interruption(
    job: Job, machine: Machine, cloud: str, lease_id: str, node_run_id: UUID
) -> ForcedInterruption | None:
    """Wait for the attempt's first checkpoint on the remote, then have the cloud take the machine back.

    None if not needed: the machine continued from an earlier one's checkpoint, or was lost without being forced.
    """
    log, block = get_run_logger(), load_cloud(cloud)
    limit, asked = time.monotonic() + SAVED_WITHIN_S, float("-inf")
    while time.monotonic() < limit:
        try:
            generation = _saved(job, machine.attempt, lease_id, node_run_id)
            if generation is None:
                return None
            token, seconds = _counted(job, generation)
        except _NotYet:
            pass
        except (httpx.HTTPError, PrefectHTTPStatusError, RemoteError) as error:
            log.warning("the machine's state could not be read: %s", error)
        else:
            break
        if time.monotonic() - asked >= STATE_S:
            asked = time.monotonic()
            if current_state(block, machine) not in (MachineState.PENDING, MachineState.RUNNING, None):
                return None
        time.sleep(POLL_S)  # neither the API nor a remote can notify
    else:
        log.warning("no checkpoint within %.0f s", SAVED_WITHIN_S)
        return None
    log.info("checkpoint %s is on the remote; next, the machine is %s", generation, block.interruption_method.how)
    forced = ForcedInterruption(
        attempt=machine.attempt, asked_at=api.now(), generation=generation, token=token, seconds=seconds
    )
    try:
        block.force_interruption(machine)
    except LaunchRefused as refused:
        return forced.model_copy(update={"refused": refused.reason})
    return forced


def _saved(job: Job, attempt: int, lease_id: str, node_run_id: UUID) -> str | None:
    """Return the attempt's newest checkpoint on the remote.

    None if the attempt has ended or continues from an earlier attempt's checkpoint, or if the job must not go on: the
    watch handles these. Raises _NotYet, or the error of an API or remote that does not answer.
    """
    prefect = api.client()
    if status_of(run_of(prefect, job.flow_run_id)) is not RunStatus.ACTIVE:
        return None
    channel_of(job, attempt).poll(node_run_id, lease_id)
    try:
        lease = api.read_lease(prefect, lease_id)
    except ObjectNotFound:
        return None
    if lease is None or (lease.phase is not Phase.ENDED and lease.generation is None):
        raise _NotYet
    own = lease.generation is not None and lease.generation.startswith(f"{attempt:03d}-")
    return lease.generation if own and lease.phase is not Phase.ENDED else None


def _counted(job: Job, generation: str) -> tuple[str, int]:
    """Return token and count of the checkpoint, which a later machine must match. Raises _NotYet, RemoteError."""
    with load_remote(job.remote).job(job.key) as remote:
        content = remote.read(f"{CHECKPOINT_DIR}/{generation}/{COUNT_FILE}")
    if content is None:
        raise _NotYet  # just replaced by a newer one
    try:
        count = load_object(content)
        return _TOKEN(count.get("token")), _SECONDS(count.get("seconds"))
    except ValueError as error:
        get_run_logger().warning("the count in checkpoint %s cannot be read: %s", generation, error)
        raise _NotYet from error


@task(name="find_remaining", retries=3, retry_delay_seconds=[1, 5, 10])
def remains(job: Job) -> tuple[list[str], datetime]:
    """Return the job's resources that the clouds still list, one line each, and the time of that check.

    Polls until the list is empty, for a minute at most. Raises a LaunchRefused if a cloud cannot be queried.
    """
    limit = time.monotonic() + GONE_WITHIN_S
    while True:
        left = []
        for cloud in map(load_cloud, job.clouds):
            left += [f"machine {machine.id}" for machine in cloud.find(job.key)]
            left += [f"{leftover.kind} {leftover.id}" for leftover in cloud.leftovers(job.key)]
        if not left or time.monotonic() >= limit:
            return left, api.now()
        time.sleep(POLL_S)  # lists are eventually consistent
