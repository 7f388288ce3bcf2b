"""The two work pools and their queues, with limits that protect the server and this computer from overload.

SQLite has one writer at a time: with more than eight jobs, some could not start promptly. Eight jobs are eight runs on
the controller and eight on machines; a ninth waits in its queue, where the UI shows it as late. With PostgreSQL the
controller's memory is the limit (docs/many-jobs.md).
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

from spotwave.node.contract import CONTROLLER_POOL, HOUSEKEEPING_QUEUE, JOBS_QUEUE, MACHINES_POOL

ENV_JOBS = "SPOTWAVE_JOBS_AT_ONCE"
SQLITE_JOBS = 8
POSTGRESQL_JOBS = 40  # the tested number (docs/many-jobs.md); SPOTWAVE_JOBS_AT_ONCE allows more
HOUSEKEEPING_AT_ONCE = 2

CONTROLLER_TYPE = "spotwave"  #: deployments.controller.worker_type
_MACHINES_TYPE = "process"
_JOB_MIB = 384  # memory of a job in a cloud: its run at the end and its share of the server (docs/many-jobs.md)
_MOST = 100_000


class BadLimit(Exception):
    """The number of concurrent jobs is not valid. The message is one line for the user."""


@dataclass(frozen=True)
class Limit:
    """The maximum number of concurrent jobs. If the user set it (`asked`), existing pools are changed too."""

    jobs: int
    asked: bool = False


def limit_for(sqlite: bool | None) -> Limit:
    """Return the limit: SPOTWAVE_JOBS_AT_ONCE if set, else a default for the server's database.

    sqlite: True for the embedded server on SQLite, False on PostgreSQL, None for another server, whose database is
    unknown. Raises BadLimit.
    """
    asked = os.environ.get(ENV_JOBS, "").strip()
    if asked:
        if not asked.isdecimal() or not 1 <= int(asked) <= _MOST:
            raise BadLimit(f"{ENV_JOBS}: must be a whole number from 1 to {_MOST}, not '{asked}'.")
        if sqlite and int(asked) > SQLITE_JOBS:
            raise BadLimit(
                f"{ENV_JOBS}: SQLite supports at most {SQLITE_JOBS} jobs at once, not {asked}. Set "
                f"PREFECT_SERVER_DATABASE_CONNECTION_URL to a PostgreSQL database, or give at most {SQLITE_JOBS}."
            )
        return Limit(int(asked), asked=True)
    if sqlite is False:
        fitting = int(psutil.virtual_memory().total / (1 << 20) / _JOB_MIB)
        return Limit(max(SQLITE_JOBS, min(POSTGRESQL_JOBS, fitting)))
    return Limit(SQLITE_JOBS)


def ensure_pools(client: SyncPrefectClient, limit: Limit) -> None:
    """Create the missing pools and queues.

    Existing ones are not changed, because the user may have edited them, unless the user set the limit.
    """
    pools = {CONTROLLER_POOL: limit.jobs + HOUSEKEEPING_AT_ONCE, MACHINES_POOL: limit.jobs}
    make = {CONTROLLER_POOL: _controller_pool, MACHINES_POOL: _machines_pool}
    names = WorkPoolFilterName(any_=list(pools))
    present = {pool.name for pool in client.read_work_pools(work_pool_filter=WorkPoolFilter(name=names))}
    for name, at_once in pools.items():
        if name not in present:
            with suppress(ObjectAlreadyExists):  # an `up` on another computer was faster
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
    # Otherwise anyone with permission to create runs could start any command on the controller.
    del template["job_configuration"]["command"]
    del template["variables"]["properties"]["command"]
    return WorkPoolCreate(
        name=CONTROLLER_POOL,
        type=CONTROLLER_TYPE,
        description="Runs on the controller: the flow runs of jobs, which rent machines, watch them and collect "
        "results, and housekeeping.",
        concurrency_limit=at_once,
        base_job_template=template,
    )


def _machines_pool(at_once: int) -> WorkPoolCreate:
    template = _template()
    template["variables"]["properties"]["stream_output"]["default"] = False
    return WorkPoolCreate(
        name=MACHINES_POOL,
        type=_MACHINES_TYPE,
        description="Runs on rented machines, with one work queue and one worker per attempt. Do not start a worker "
        "for this pool yourself: it would take the work of all attempts.",
        concurrency_limit=at_once,
        base_job_template=template,
    )


def _template() -> dict[str, Any]:
    # Imported here: takes half a second, and is needed only to create the pools.
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()
