"""The two work pools and their queues, with the limits that keep the server and this computer alive.

SQLite has one writer at a time: with more than eight jobs some cannot be started at once. Eight jobs are eight runs
here and eight on machines; a ninth waits in its queue, where the UI shows it as late. With PostgreSQL the memory of the
controller is the limit (docs/many-jobs.md).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.exceptions import ObjectAlreadyExists

from spotwave.flows.housekeeping.reconcile import HOUSEKEEPING_QUEUE, JOBS_QUEUE
from spotwave.node.contract import CONTROLLER_POOL, MACHINES_POOL

ENV_JOBS = "SPOTWAVE_JOBS_AT_ONCE"
SQLITE_JOBS = 8
POSTGRESQL_JOBS = 40  # what has been tried (docs/many-jobs.md); more by SPOTWAVE_JOBS_AT_ONCE
HOUSEKEEPING_AT_ONCE = 2

_TYPE = "process"
_JOB_MIB = 384  # of a job of a cloud: its run at the end, and its share of the server (docs/many-jobs.md)
_MOST = 100_000


class BadLimit(Exception):
    """The number of jobs at once cannot be; the message is one line for the user."""


@dataclass(frozen=True)
class Limit:
    """How many jobs may run at once; if it was asked for, pools that exist are changed too."""

    jobs: int
    asked: bool = False


def limit_for(sqlite: bool | None) -> Limit:
    """The limit for the embedded server on SQLite (True) or PostgreSQL (False), or for another server (None), whose
    database we do not know. SPOTWAVE_JOBS_AT_ONCE says otherwise. Raises BadLimit."""
    asked = os.environ.get(ENV_JOBS, "").strip()
    if asked:
        if not asked.isdecimal() or not 1 <= int(asked) <= _MOST:
            raise BadLimit(f"{ENV_JOBS}: '{asked}' is no number of jobs. Give 1 to {_MOST}.")
        if sqlite and int(asked) > SQLITE_JOBS:
            raise BadLimit(
                f"{ENV_JOBS}: SQLite carries {SQLITE_JOBS} jobs at once, not {asked}. Give "
                f"PREFECT_SERVER_DATABASE_CONNECTION_URL the address of a PostgreSQL, or give at most {SQLITE_JOBS}."
            )
        return Limit(int(asked), asked=True)
    if sqlite is False:
        held = int(psutil.virtual_memory().total / (1 << 20) / _JOB_MIB)
        return Limit(max(SQLITE_JOBS, min(POSTGRESQL_JOBS, held)))
    return Limit(SQLITE_JOBS)


def ensure_pools(client: SyncPrefectClient, limit: Limit) -> None:
    """Create pools and queues that are missing; what exists is the user's to change and stays as it is, unless the
    limit was asked for."""
    pools = {CONTROLLER_POOL: limit.jobs + HOUSEKEEPING_AT_ONCE, MACHINES_POOL: limit.jobs}
    make = {CONTROLLER_POOL: _controller_pool, MACHINES_POOL: _machines_pool}
    names = WorkPoolFilterName(any_=list(pools))
    present = {pool.name for pool in client.read_work_pools(work_pool_filter=WorkPoolFilter(name=names))}
    for name, at_once in pools.items():
        if name not in present:
            with suppress(ObjectAlreadyExists):  # another `up`, on another computer, was quicker
                client.create_work_pool(make[name](at_once))
        elif limit.asked:
            client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=at_once))
    for name, at_once in {JOBS_QUEUE: limit.jobs, HOUSEKEEPING_QUEUE: HOUSEKEEPING_AT_ONCE}.items():
        try:
            client.create_work_queue(name, concurrency_limit=at_once, work_pool_name=CONTROLLER_POOL)
        except ObjectAlreadyExists:
            if limit.asked:
                queue = client.read_work_queue_by_name(name, work_pool_name=CONTROLLER_POOL)
                client.update_work_queue(queue.id, concurrency_limit=at_once)


def _controller_pool(at_once: int) -> WorkPoolCreate:
    template = _template()
    # Whoever may create runs could else start any command on the controller, not just our flows.
    del template["job_configuration"]["command"]
    del template["variables"]["properties"]["command"]
    return WorkPoolCreate(
        name=CONTROLLER_POOL,
        type=_TYPE,
        description="Stories: the flow runs that rent machines, watch them and collect. Run on the controller.",
        concurrency_limit=at_once,
        base_job_template=template,
    )


def _machines_pool(at_once: int) -> WorkPoolCreate:
    template = _template()
    template["variables"]["properties"]["stream_output"]["default"] = False
    return WorkPoolCreate(
        name=MACHINES_POOL,
        type=_TYPE,
        description="Work on rented machines: one work queue and one worker per attempt. Start no worker here "
        "by hand: without a queue of its own it would take every attempt's work.",
        concurrency_limit=at_once,
        base_job_template=template,
    )


def _template() -> dict[str, Any]:
    # Half a second to import, and needed only on the first day.
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()
