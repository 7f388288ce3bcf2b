"""Step: launch the attempt's machine, walking down the ranking where a cloud refuses."""

from __future__ import annotations

import time

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from blocks.cloud import (
    Capacity,
    Cloud,
    LaunchBrief,
    LaunchRefused,
    Machine,
    Misconfigured,
    Offer,
    Quota,
    Throttled,
)
from node.contract import Brief
from tasks import api
from tasks.documents import load_access, load_cloud, load_remote
from tasks.job import Choice, Job, Placed, Refusal
from tasks.once import ONCE

MOST_OFFERS = 10
MOST_THROTTLED = 5


class NoMachine(RuntimeError):
    """No offer led to a machine, or a cloud is misconfigured; the message says what was tried."""


@task(name="open_lease", retries=2, retry_delay_seconds=2, persist_result=True, cache_policy=ONCE)
def open_lease(job: Job, attempt: int) -> str:
    """Make the lease that the attempt's agent will renew; its id."""
    return api.create_lease(api.client(), job.key, attempt, job.flow_run_id)


@task(name="provision", persist_result=True, cache_policy=ONCE)
def provision(job: Job, attempt: int, choice: Choice, lease_id: str, deadline: float) -> Placed:
    """Launch the first offer of the ranking that a cloud grants; adopt the attempt's machine if it exists.

    deadline: Unix seconds by which the machine must have ended. Raises NoMachine.
    """
    log = get_run_logger()
    clouds = {cloud.kind: cloud for cloud in map(load_cloud, job.clouds)}
    for cloud in clouds.values():
        for machine in cloud.find(job.key):
            if machine.attempt == attempt:
                log.info("adopted %s: it was launched before this run was restarted", machine.id)
                return Placed(machine=machine, refusals=[])
    remote = load_remote(job.remote)
    secrets = {**remote.secrets(), **load_access(job.access).secrets()}
    refusals: list[Refusal] = []
    for ranked in choice.ranked:
        offer = ranked.offer
        if len(refusals) >= MOST_OFFERS:
            break
        if any(_covers(refusal, offer) for refusal in refusals):
            continue
        brief = Brief(
            job_key=job.key,
            attempt=attempt,
            remote=remote.root(job.key),
            lease_id=lease_id,
            vcpus=offer.vcpus,
            memory_gib=offer.memory_gib,
            deadline=deadline,
            sync_s=job.sync_s,
            notice_s=offer.notice_s,
        )
        try:
            machine = _launch(clouds[offer.cloud], offer, LaunchBrief(brief, secrets))
        except Misconfigured as refused:
            raise NoMachine(f"{offer.label}: {refused.reason}") from refused
        except LaunchRefused as refused:
            log.warning("%s refused: %s", offer.label, refused.reason)
            refusals.append(Refusal(offer=offer, kind=_kind(refused), reason=refused.reason))
            continue
        log.info("launched %s as %s", offer.label, machine.id)
        _show(refusals)
        return Placed(machine=machine, refusals=refusals)
    _show(refusals)
    raise NoMachine(f"no machine to be had: {len(refusals)} offers tried, last: {refusals[-1].reason}")


def _launch(cloud: Cloud, offer: Offer, brief: LaunchBrief) -> Machine:
    """Launch; a throttled call is repeated with the same token, a bounded number of times."""
    for _ in range(MOST_THROTTLED):
        try:
            return cloud.launch(offer, brief)
        except Throttled as refused:
            reason, wait_s = refused.reason, refused.retry_after_s
        time.sleep(wait_s)  # what the cloud asked for
    raise Capacity(f"throttled {MOST_THROTTLED} times: {reason}")


def _kind(refused: LaunchRefused) -> str:
    """The refusal's word, with its scope: "capacity", "quota region", ..."""
    scope = f" {refused.scope}" if isinstance(refused, Quota) else ""
    return type(refused).__name__.lower() + scope


def _covers(refusal: Refusal, offer: Offer) -> bool:
    """Whether a refusal makes it pointless to try this offer too."""
    other = refusal.offer
    if other.cloud != offer.cloud:
        return False
    match refusal.kind:
        case "quota cloud":
            return True
        case "quota region":
            return other.region == offer.region
        case "quota zone":
            return (other.region, other.zone) == (offer.region, offer.zone)
        case "quota type":
            return (other.region, other.instance_type) == (offer.region, offer.instance_type)
        case _:
            return other.pool == offer.pool


def _show(refusals: list[Refusal]) -> None:
    if refusals:
        rows = [{"offer": r.offer.label, "refused for": r.kind, "the cloud's words": r.reason} for r in refusals]
        create_table_artifact(key="refusals", table=rows, description="Offers tried and why each was refused")
