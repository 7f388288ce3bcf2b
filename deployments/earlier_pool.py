"""Moves the controller's pool of an earlier version to the worker type of this one.

Prefect cannot change the type of a pool, so the pool is deleted and created again with the same settings. Its runs and
deployments lose their queue with it. So it is moved only when no job is open and no other deployment uses it; until
then the controller's worker serves the pool as it is, which differs in nothing but the type that the UI shows.
"""

from __future__ import annotations

from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound

from spotwave.deployments.deployed import our_deployments
from spotwave.deployments.earlier_version import UNFINISHED
from spotwave.deployments.pools import CONTROLLER_TYPE
from spotwave.flows.housekeeping.reconcile import AGE
from spotwave.node.contract import CONTROLLER_POOL, JOBS_QUEUE

_OF_POOL = WorkPoolFilter(name=WorkPoolFilterName(any_=[CONTROLLER_POOL]))


def move_controller_pool(client: SyncPrefectClient) -> bool:
    """Move the pool if it has another type and nothing depends on it; return whether it was moved.

    The deployments must be registered afterwards, since they have no queue.
    """
    try:
        old = client.read_work_pool(CONTROLLER_POOL)
    except ObjectNotFound:
        return False
    if old.type == CONTROLLER_TYPE or _has_open_jobs(client) or _is_used_by_others(client):
        return False
    queues = client.read_work_queues(work_pool_name=CONTROLLER_POOL)
    client.delete_work_pool(CONTROLLER_POOL)
    client.create_work_pool(
        WorkPoolCreate(
            name=CONTROLLER_POOL,
            type=CONTROLLER_TYPE,
            description=old.description,
            is_paused=old.is_paused,
            concurrency_limit=old.concurrency_limit,
            base_job_template=old.base_job_template,
        )
    )
    present = {queue.name: queue for queue in client.read_work_queues(work_pool_name=CONTROLLER_POOL)}
    for queue in sorted(queues, key=lambda one: one.priority):
        new = present.get(queue.name) or client.create_work_queue(queue.name, work_pool_name=CONTROLLER_POOL)
        client.update_work_queue(new.id, is_paused=queue.is_paused, concurrency_limit=queue.concurrency_limit)
    return True


def _has_open_jobs(client: SyncPrefectClient) -> bool:
    """Whether a job has not ended; one that crashed recently will be resumed (flows.housekeeping.reconcile)."""
    queue = WorkQueueFilter(name=WorkQueueFilterName(any_=[JOBS_QUEUE]))

    def any_in(states: list[StateType], since: datetime | None = None) -> bool:
        wanted = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
            expected_start_time=None if since is None else FlowRunFilterExpectedStartTime(after_=since),
        )
        return bool(
            client.read_flow_runs(flow_run_filter=wanted, work_pool_filter=_OF_POOL, work_queue_filter=queue, limit=1)
        )

    return any_in(UNFINISHED) or any_in([StateType.CRASHED], datetime.now(UTC) - AGE)


def _is_used_by_others(client: SyncPrefectClient) -> bool:
    ours = {one.id for one in our_deployments(client)}
    users = client.read_deployments(work_pool_filter=_OF_POOL, limit=200)
    return any(one.id not in ours for one in users)
