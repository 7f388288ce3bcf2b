"""Step: launch the attempt's machine, walking down the ranking where a cloud refuses."""

from __future__ import annotations

import time

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from blocks.cloud import Capacity, Cloud, LaunchBrief, LaunchRefused, Machine, Misconfigured, Offer, Throttled
from node.contract import Brief
from tasks import api
from tasks.allow import MOST_OFFERS, stops_at, too_short
from tasks.documents import load_access, load_cloud, load_remote
from tasks.job import Allowance, Choice, Job, Placed, Refusal
from tasks.once import ONCE
from tasks.refused import covers, refusal_of, summary

MOST_ASKED = 5  # times the same thing, of a cloud that throttles or does not answer
LONGEST_WAIT_S = 60.0


class NoMachine(RuntimeError):
    """No offer led to a machine, or a cloud is misconfigured; the message says what was tried."""


@task(name="open_lease", retries=2, retry_delay_seconds=2, persist_result=True, cache_policy=ONCE)
def open_lease(job: Job, attempt: int) -> str:
    """Make the lease that the attempt's agent will renew; its id."""
    return api.create_lease(api.client(), job.key, attempt, job.flow_run_id)


@task(name="provision", persist_result=True, cache_policy=ONCE - "run_count")
def provision(
    job: Job,
    attempt: int,
    choice: Choice,
    lease_id: str,
    deadline: float,
    run_count: int,
    allowance: Allowance | None = None,
) -> Placed:
    """Launch the first offer of the ranking that a cloud grants; adopt the attempt's machine if it exists.

    deadline: Unix seconds by which the machine must have ended; allowance: what it may cost, from which follows an
    earlier time that it keeps by itself, whether or not anybody watches. run_count: which start of the parent run
    this is; at the first nothing can have been launched yet, so no cloud is searched. Raises NoMachine.
    """
    log = get_run_logger()
    clouds = {cloud.kind: cloud for cloud in map(load_cloud, job.clouds)}
    if run_count > 1 and (machine := _launched_before(job, attempt, clouds)) is not None:
        log.info("adopted %s: it was launched before this run was restarted", machine.id)
        return Placed(machine=machine, refusals=[])
    access, remote = load_access(job.access), load_remote(job.remote)
    secrets = {
        **remote.secrets(),
        **access.secrets(job_key=job.key, attempt=attempt, lease_id=lease_id, deadline=deadline),
    }
    refusals: list[Refusal] = []
    for ranked in choice.ranked:
        offer = ranked.offer
        if len(refusals) >= MOST_OFFERS:
            break
        if any(covers(refusal, offer) for refusal in refusals):
            continue
        stop = min(deadline, stops_at(allowance, job, offer))
        if allowance is not None and stop < deadline and too_short(offer, stop, allowance.at):
            refusals.append(Refusal(offer=offer, kind="limit", reason=f"too dear. {allowance.said}"))
            continue
        brief = Brief(
            job_key=job.key,
            attempt=attempt,
            remote=remote.root(job.key),
            lease_id=lease_id,
            vcpus=offer.vcpus,
            memory_gib=offer.memory_gib,
            deadline=stop,
            sync_s=job.sync_s,
            notice_s=offer.notice_s,
            builds=job.builds,
            detached=access.detached,
        )
        try:
            machine = _launch(clouds[offer.cloud], offer, LaunchBrief(brief, secrets, job.requirements.disk_gib))
        except LaunchRefused as refused:
            refusals.append(refusal_of(offer, refused))
            log.warning("%s refused, %s: %s", offer.label, refusals[-1].kind, refused.reason)
            if isinstance(refused, Misconfigured):
                _show(refusals, attempt, None)
                raise NoMachine(f"{offer.label}: {refused.reason}") from refused
            continue
        log.info("launched %s as %s", offer.label, machine.id)
        _show(refusals, attempt, machine)
        return Placed(machine=machine, refusals=refusals)
    _show(refusals, attempt, None)
    raise NoMachine(summary(refusals))


def _launched_before(job: Job, attempt: int, clouds: dict[str, Cloud]) -> Machine | None:
    """The attempt's machine, if an earlier start of this run has launched one and died before it could say so.

    Raises NoMachine where a cloud does not tell: a second machine must not be launched beside a first unseen one.
    """
    for cloud in clouds.values():
        for machine in _found(cloud, job.key):
            if machine.attempt == attempt:
                return machine
    return None


def _found(cloud: Cloud, job_key: str) -> list[Machine]:
    wait_s, reason = 2.0, ""
    for _ in range(MOST_ASKED):
        try:
            return cloud.find(job_key)
        except LaunchRefused as refused:
            reason = refused.reason
        time.sleep(wait_s)  # a cloud that does not answer has no event to wait on
        wait_s *= 2
    raise NoMachine(f"{cloud.kind} does not tell whether it runs a machine of this job already: {reason}")


def _launch(cloud: Cloud, offer: Offer, brief: LaunchBrief) -> Machine:
    """Launch; a throttled call is repeated with the same token, a bounded number of times."""
    reason = ""
    for repeated in range(MOST_ASKED):
        try:
            return cloud.launch(offer, brief)
        except Throttled as refused:
            reason, wait_s = refused.reason, refused.retry_after_s * 2**repeated
        time.sleep(min(wait_s, LONGEST_WAIT_S))  # what the cloud asked for, and longer each time
    raise Capacity(f"throttled {MOST_ASKED} times: {reason}")


def _show(refusals: list[Refusal], attempt: int, machine: Machine | None) -> None:
    """The walk, as the run's page shows it: every offer tried, and what came of it."""
    rows = [{"offer": r.offer.label, "came of it": f"refused: {r.kind}", "in words": r.reason} for r in refusals]
    if machine is not None:
        rows.append({"offer": machine.offer.label, "came of it": "launched", "in words": machine.id})
    description = f"Offers tried in attempt {attempt}, and what came of each"
    create_table_artifact(key="launches", table=rows, description=description)
