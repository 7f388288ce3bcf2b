"""End jobs whose approval has timed out, and keep jobs that a user suspended.

Prefect checks the timeout of a suspension only when the run is resumed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Failed

from spotwave.flows.loop.suspension import keep_suspended
from spotwave.node.contract import CONTROLLER_POOL
from spotwave.tasks import api
from spotwave.tasks.run_status import awaits_approval


def end_unanswered_approvals(prefect: SyncPrefectClient) -> dict[str, str]:
    """End the runs whose approval (flows.loop.approval) has timed out; return what was done, by run name.

    Runs that a user has suspended are kept until they are resumed (flows.loop.suspension).
    """
    done: dict[str, str] = {}
    for run in _suspended(prefect):
        if run.state is None:
            continue
        if not awaits_approval(run.state):
            keep_suspended(prefect, run.id)
        elif _overdue(run.state.state_details.pause_timeout):
            late: Any = Failed(message="approval: not approved in time; nothing was launched. Run it again.")
            prefect.set_flow_run_state(run.id, late, force=True)
            done[run.name] = "ended: not approved in time"
    return done


def _overdue(limit: datetime | None) -> bool:
    return limit is not None and api.now() > limit


def _suspended(prefect: SyncPrefectClient) -> list[FlowRun]:
    found: list[FlowRun] = []
    while True:
        page = prefect.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[CONTROLLER_POOL])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
            ),
            limit=200,
            offset=len(found),
        )
        found += page
        if len(page) < 200:
            return found
