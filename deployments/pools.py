"""The two work pools and their queues, with the limits that keep SQLite alive.

Every executing run holds about four of the 100 connections that the server allows itself on SQLite; at 24
runs the whole API hangs. Eight jobs are eight runs here and eight on machines; a ninth waits in its queue,
where the UI shows it as late.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.exceptions import ObjectAlreadyExists

from flows.reconcile import HOUSEKEEPING_QUEUE, JOBS_QUEUE
from node.contract import CONTROLLER_POOL, MACHINES_POOL

JOBS_AT_ONCE = 8
HOUSEKEEPING_AT_ONCE = 2

_TYPE = "process"
_QUEUES = {JOBS_QUEUE: JOBS_AT_ONCE, HOUSEKEEPING_QUEUE: HOUSEKEEPING_AT_ONCE}


def ensure_pools(client: SyncPrefectClient) -> None:
    """Create pools and queues that are missing; what exists is the user's to change and stays as it is."""
    wanted = {CONTROLLER_POOL: _controller_pool, MACHINES_POOL: _machines_pool}
    names = WorkPoolFilterName(any_=list(wanted))
    present = {pool.name for pool in client.read_work_pools(work_pool_filter=WorkPoolFilter(name=names))}
    for name, make in wanted.items():
        if name not in present:
            with suppress(ObjectAlreadyExists):  # another `up`, on another computer, was quicker
                client.create_work_pool(make())
    for name, limit in _QUEUES.items():
        with suppress(ObjectAlreadyExists):
            client.create_work_queue(name, concurrency_limit=limit, work_pool_name=CONTROLLER_POOL)


def _controller_pool() -> WorkPoolCreate:
    template = _template()
    # Whoever may create runs could else start any command on the controller, not just our flows.
    del template["job_configuration"]["command"]
    del template["variables"]["properties"]["command"]
    return WorkPoolCreate(
        name=CONTROLLER_POOL,
        type=_TYPE,
        description="Stories: the flow runs that rent machines, watch them and collect. Run on the controller.",
        concurrency_limit=JOBS_AT_ONCE + HOUSEKEEPING_AT_ONCE,
        base_job_template=template,
    )


def _machines_pool() -> WorkPoolCreate:
    template = _template()
    template["variables"]["properties"]["stream_output"]["default"] = False
    return WorkPoolCreate(
        name=MACHINES_POOL,
        type=_TYPE,
        description="Work on rented machines: one work queue and one worker per attempt. Start no worker here "
        "by hand: without a queue of its own it would take every attempt's work.",
        concurrency_limit=JOBS_AT_ONCE,
        base_job_template=template,
    )


def _template() -> dict[str, Any]:
    # Half a second to import, and needed only on the first day.
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()
