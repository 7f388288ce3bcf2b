"""Schedules create runs: protects the version pins without which the server runs but its scheduler does nothing."""

from __future__ import annotations

import time

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort

from spotwave.deployments.api import Api, Unavailable
from spotwave.deployments.deploy import deploy_all
from spotwave.deployments.story_deployments import all_deployments

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


@pytest.mark.slow
def test_registering_again_keeps_what_the_user_changed(prefect_api: Api) -> None:
    """A paused schedule stays paused, and a schedule of the user's own stays."""
    known = [one for one in all_deployments() if one.entrypoint.endswith((".reap", ".costs.costs"))]
    with get_client(sync_client=True) as client:
        paused = client.read_deployment_by_name("reap/every-10-minutes")
        client.update_deployment_schedule(paused.id, paused.schedules[0].id, active=False)
        own = client.read_deployment_by_name("costs/now")
        (added,) = client.create_deployment_schedules(own.id, [(CronSchedule(cron="0 6 * * 1", timezone="UTC"), True)])
        try:
            deploy_all(client, known)
            (kept,) = client.read_deployment_schedules(paused.id)
            assert (kept.active, kept.slug) == (False, "every-10-minutes")
            assert [one.id for one in client.read_deployment_schedules(own.id)] == [added.id]
            again = client.read_deployment_by_name("reap/every-10-minutes")
            assert (again.id, again.entrypoint) == (paused.id, paused.entrypoint)
            assert again.global_concurrency_limit is not None
            assert (again.global_concurrency_limit.limit, again.work_queue_name) == (1, "housekeeping")
        finally:
            client.update_deployment_schedule(paused.id, paused.schedules[0].id, active=True)
            client.delete_deployment_schedule(own.id, added.id)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_api")
def test_rejected_deployment_is_named_in_one_line() -> None:
    job = next(one for one in all_deployments() if one.entrypoint == "spotwave.flows.shci.shci")
    wrong = job.model_copy(update={"name": "rejected", "parameters": {"max_hours": "many"}})
    with (
        get_client(sync_client=True) as client,
        pytest.raises(Unavailable, match=r"^Prefect rejects the deployment spotwave\.flows\.shci\.shci/rejected: "),
    ):
        deploy_all(client, [wrong])
