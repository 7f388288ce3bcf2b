"""The controller's pool of an earlier version gets the worker type of this one, once nothing depends on the old one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Crashed, Running, Scheduled, Suspended

from spotwave.deployments.earlier_pool import move_controller_pool
from spotwave.deployments.pools import Limit, ensure_pools
from spotwave.node.contract import CONTROLLER_POOL
from tests.deployments import controller_flows

pytestmark = pytest.mark.slow(minutes=0.5)


@pytest.fixture
def client(plain_server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """Yield a client of a server that has the pools as an earlier version made them."""
    with get_client(sync_client=True) as found:
        with monkeypatch.context() as earlier:
            earlier.setattr("spotwave.deployments.pools.CONTROLLER_TYPE", "process")
            ensure_pools(found, Limit(3))
        yield found
        for deployment in found.read_deployments():
            found.delete_deployment(deployment.id)
        found.delete_work_pool(CONTROLLER_POOL)


def run_in(client: SyncPrefectClient, state: State[None], tags: list[str], queue: str = "jobs") -> None:
    """Create a deployment in the controller's pool, and a run of it."""
    deployment = client.create_deployment(
        client.create_flow(controller_flows.writes),
        "now",
        work_pool_name=CONTROLLER_POOL,
        work_queue_name=queue,
        tags=tags,
    )
    tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    run = client.create_flow_run_from_deployment(deployment, state=tomorrow)
    client.set_flow_run_state(run.id, state, force=True)


def test_pool_is_moved_with_its_settings(client: SyncPrefectClient) -> None:
    run_in(client, Completed(), ["spotwave"])
    run_in(client, Running(), ["spotwave"], queue="housekeeping")
    before = client.read_work_pool(CONTROLLER_POOL)
    jobs = client.read_work_queue_by_name("jobs", work_pool_name=CONTROLLER_POOL)
    client.update_work_queue(jobs.id, concurrency_limit=2, is_paused=True)
    assert move_controller_pool(client)
    after = client.read_work_pool(CONTROLLER_POOL)
    assert (before.type, after.type) == ("process", "spotwave")
    assert (after.base_job_template, after.concurrency_limit) == (before.base_job_template, before.concurrency_limit)
    queue = client.read_work_queue_by_name("jobs", work_pool_name=CONTROLLER_POOL)
    assert (queue.concurrency_limit, queue.is_paused) == (2, True)
    assert {one.name for one in client.read_work_queues(work_pool_name=CONTROLLER_POOL)} == {
        "default",
        "jobs",
        "housekeeping",
    }
    assert not move_controller_pool(client), "only once"
    assert client.read_deployments()[0].work_pool_name is None, "it must be registered again"


@pytest.mark.parametrize("state", [Scheduled(), Running(), Suspended(), Crashed()], ids=lambda state: state.name)
def test_pool_with_open_job_is_kept(client: SyncPrefectClient, state: State[None]) -> None:
    run_in(client, state, ["spotwave"])
    assert not move_controller_pool(client)
    assert client.read_work_pool(CONTROLLER_POOL).type == "process"


def test_pool_of_other_deployments_is_kept(client: SyncPrefectClient) -> None:
    run_in(client, Completed(), ["mine"])
    assert not move_controller_pool(client)


def test_without_pool_nothing_happens(client: SyncPrefectClient) -> None:
    client.delete_work_pool(CONTROLLER_POOL)
    assert not move_controller_pool(client)
    with pytest.raises(ObjectNotFound):
        client.read_work_pool(CONTROLLER_POOL)
    ensure_pools(client, Limit(3))
