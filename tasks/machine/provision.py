"""Step: launch the attempt's machine: try the ranked offers until a cloud grants one."""

from __future__ import annotations

import time

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import LaunchRefused, Misconfigured
from spotwave.blocks.models import LaunchBrief, Machine, Offer
from spotwave.node.contract import Brief
from spotwave.tasks import api
from spotwave.tasks.cache import ONCE
from spotwave.tasks.cost.reserve import not_allowed, stops_at
from spotwave.tasks.load_blocks import load_access, load_cloud, load_remote
from spotwave.tasks.machine.no_machine import all_refused
from spotwave.tasks.machine.walk_offers import Suspended, Walk
from spotwave.tasks.records import Allowance, Choice, Job, Placed, Refusal, Unplaced
from spotwave.tasks.run_status import still_active

MOST_ASKED = 5  # times that a cloud is queried for an existing machine of the job


class NoMachine(RuntimeError):
    """A cloud is misconfigured; the message says what was tried."""


@task(name="open_lease", retries=2, retry_delay_seconds=2, persist_result=True, cache_policy=ONCE)
def open_lease(job: Job, attempt: int) -> str:
    """Create the lease that the attempt's agent renews; return its id."""
    return api.create_lease(api.client(), job.key, attempt, job.flow_run_id)


@task(name="provision", persist_result=True, cache_policy=ONCE - "run_count" - "unsure")
def provision(
    job: Job,
    attempt: int,
    choice: Choice,
    lease_id: str,
    deadline: float,
    run_count: int,
    allowance: Allowance | None = None,
    round_: int = 1,
    unsure: bool | None = None,
) -> Placed | Unplaced | None:
    """Launch the first offer of the ranking that a cloud grants; adopt the attempt's machine if it exists.

    deadline: Unix seconds by which the machine must have ended. allowance: what it may cost, which gives an earlier
    deadline that the machine keeps on its own. run_count: which start of the parent run this is; on the first start
    nothing can have been launched yet, so no cloud is searched, unless an earlier round is `unsure`. round_: placement
    round of the attempt, part of every launch token.
    Returns None if the job was suspended before it had a machine. Raises NoMachine, Superseded; and Ended, in which
    case no machine was launched either.
    """
    log, prefect = get_run_logger(), api.client()

    def is_active() -> bool:
        return still_active(prefect, job.flow_run_id, run_count)

    clouds = {cloud.kind: cloud for cloud in map(load_cloud, job.clouds)}
    if run_count > 1 if unsure is None else unsure:
        try:
            machine = _launched_before(job, attempt, clouds)
        except _Unanswered as error:  # a first machine may exist: do not launch a second one
            return Unplaced(reason="NoOffer", said=str(error))
        if machine is not None:
            log.info("adopted %s: it was launched before", machine.id)
            return Placed(machine=machine, refusals=[])
    access, remote = load_access(job.access), load_remote(job.remote)
    secrets = {
        **remote.secrets(),
        **access.secrets(job_key=job.key, attempt=attempt, lease_id=lease_id, deadline=deadline),
    }

    def brief_for(offer: Offer) -> LaunchBrief | Refusal:
        stop = min(deadline, stops_at(allowance, job, offer))
        if (refused := not_allowed(allowance, job, offer, stop, deadline)) is not None:
            return refused
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
        return LaunchBrief(brief, secrets, job.requirements.disk_gib, round_)

    walk = Walk(clouds, log, is_active)
    try:
        machines = walk.down(choice.ranked, brief_for)
    except Suspended:
        log.info("suspended before a machine was launched")
        return None
    except Misconfigured as refused:
        _show(walk.refusals, attempt, None)
        raise NoMachine(f"{walk.refusals[-1].offer.label}: {refused.reason}") from refused
    _show(walk.refusals, attempt, machines[0] if machines else None)
    if not machines:
        return all_refused(walk.refusals)
    return Placed(machine=machines[0], refusals=walk.refusals)


class _Unanswered(Exception):
    """A cloud did not answer which machines it runs."""


def _launched_before(job: Job, attempt: int, clouds: dict[str, Cloud]) -> Machine | None:
    """Return the attempt's machine, if an earlier start of this run or an earlier round launched one and could not
    record it. Raises _Unanswered."""
    for cloud in clouds.values():
        for machine in _found(cloud, job.key):
            if machine.attempt == attempt:
                return machine
    return None


def _found(cloud: Cloud, job_key: str) -> list[Machine]:
    wait_s, reason = 2.0, ""
    for number in range(MOST_ASKED):
        if number:
            time.sleep(wait_s)  # an unavailable cloud cannot notify
            wait_s *= 2
        try:
            return cloud.find(job_key)
        except LaunchRefused as refused:
            reason = refused.reason
    raise _Unanswered(f"{cloud.kind} cannot be queried for an existing machine of this job: {reason}")


def _show(refusals: list[Refusal], attempt: int, machine: Machine | None) -> None:
    """Draw the table of the offers that were tried, with the result of each."""
    rows = [{"offer": r.offer.label, "result": f"refused: {r.kind}", "details": r.reason} for r in refusals]
    if machine is not None:
        rows.append({"offer": machine.offer.label, "result": "launched", "details": machine.id})
    description = f"Offers tried in attempt {attempt}, and the results"
    create_table_artifact(key="launches", table=rows, description=description)
