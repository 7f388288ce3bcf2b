"""Schedules create runs: protects the version pins without which the server runs but its scheduler does nothing."""

from __future__ import annotations

import time

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.sorting import FlowRunSort

from spotwave.deployments.api import Api

_SCHEDULED = ("reconcile/every-5-minutes", "reap/every-10-minutes")


@pytest.mark.slow
def test_schedules_create_runs(prefect_api: Api) -> None:
    """With SQLAlchemy 2.1 the scheduler inserts nothing, and reports that only in the server's log."""
    with get_client(sync_client=True) as client:
        wanted = {client.read_deployment_by_name(name).id for name in _SCHEDULED}
        deadline = time.monotonic() + 120
        while wanted and time.monotonic() < deadline:
            scheduled = DeploymentFilter(id=DeploymentFilterId(any_=list(wanted)))
            runs = client.read_flow_runs(deployment_filter=scheduled, sort=FlowRunSort.EXPECTED_START_TIME_DESC)
            for run in runs:
                if run.auto_scheduled and run.deployment_id in wanted:
                    wanted.remove(run.deployment_id)
            time.sleep(0.2)
    assert not wanted
