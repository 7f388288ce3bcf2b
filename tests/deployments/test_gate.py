"""The gate against a real server: what it lets in, in which order, and what waiting runs look like."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Completed, Pending, Running, Scheduled

from spotwave.deployments.controller import gate as gate_module
from spotwave.deployments.controller.gate import Gate
from spotwave.deployments.pools import Limit, ensure_pools
from spotwave.flows.queue.admission import LIMITS_FILE, QUEUED
from spotwave.node.contract import CONTROLLER_POOL
from tests.deployments import controller_flows

pytestmark = pytest.mark.slow(minutes=0.5)

MOST = 3  #: jobs at once
EARLIER = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def client(plain_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        ensure_pools(found, Limit(MOST))
        yield found
        for deployment in found.read_deployments():
            found.delete_deployment(deployment.id)
        for run in found.read_flow_runs(limit=200):
            found.delete_flow_run(run.id)
        found.delete_work_pool(CONTROLLER_POOL)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(CONTROLLER_POOL, tmp_path)


def created(client: SyncPrefectClient, count: int, **parameters: Any) -> list[UUID]:
    """Create runs that were to start a second apart, the last one first; return them in the order of their times."""
    flow = client.create_flow(controller_flows.writes)
    deployment = client.create_deployment(flow, "now", work_pool_name=CONTROLLER_POOL, work_queue_name="jobs")
    times = [EARLIER + timedelta(seconds=number) for number in range(count)]
    runs = [
        client.create_flow_run_from_deployment(
            deployment, state=Scheduled(scheduled_time=at), parameters={"line": "", **parameters}
        ).id
        for at in reversed(times)
    ]
    return runs[::-1]


def asked(gate: Gate, client: SyncPrefectClient, taken: tuple[UUID, ...] = ()) -> list[UUID]:
    async def ask() -> list[FlowRun]:
        async with get_client() as one:
            queue = client.read_work_queue_by_name("jobs", work_pool_name=CONTROLLER_POOL)
            return await gate.next(one, client.read_work_pool(CONTROLLER_POOL), queue, datetime.now(UTC), taken)

    return [run.id for run in asyncio.run(ask())]


def state_of(client: SyncPrefectClient, run_id: UUID) -> tuple[StateType | None, str | None, str | None]:
    run = client.read_flow_run(run_id)
    return run.state_type, run.state_name, run.state.message if run.state else None


def started(client: SyncPrefectClient, runs: list[UUID]) -> None:
    for run_id in runs:
        for state in (Pending(), Running()):
            client.set_flow_run_state(run_id, state)


def test_jobs_start_in_their_order_within_the_limit(
    gate: Gate, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more runs than a page: those that wait do not hide the others."""
    monkeypatch.setattr(gate_module, "PAGE", 4)
    runs = created(client, 10)
    assert asked(gate, client) == runs[:MOST]
    assert asked(gate, client, taken=tuple(runs[:MOST])) == [], "they are being started"
    started(client, runs[:MOST])
    for run_id in runs[MOST:]:
        assert state_of(client, run_id) == (StateType.SCHEDULED, QUEUED, "QuotaJobs: 3 of 3 jobs are running")
    waiting = client.read_flow_run(runs[MOST])
    assert waiting.state is not None
    assert waiting.state.state_details.scheduled_time == EARLIER + timedelta(seconds=MOST), "its time is kept"
    history = len(client.read_flow_run_states(runs[MOST]))
    assert asked(gate, client) == []
    assert len(client.read_flow_run_states(runs[MOST])) == history, "a waiting run is not asked again at each poll"

    client.set_flow_run_state(runs[1], Completed())
    client.set_flow_run_state(runs[MOST], Cancelled())
    gate.changed()
    assert asked(gate, client) == [runs[MOST + 1]], "the next in order, without the one that was cancelled"
    assert state_of(client, runs[MOST])[0] is StateType.CANCELLED


def test_later_job_waits_behind_those_that_wait(gate: Gate, client: SyncPrefectClient) -> None:
    first = created(client, MOST + 1)
    started(client, asked(gate, client))
    late = created(client, 1)
    assert asked(gate, client) == []
    assert state_of(client, late[0])[1] == QUEUED
    for run_id in first[:2]:
        client.set_flow_run_state(run_id, Completed())
    gate.changed()
    assert set(asked(gate, client)) == {late[0], first[MOST]}


def test_limits_of_the_file_hold_at_once(gate: Gate, client: SyncPrefectClient, tmp_path: Path) -> None:
    (tmp_path / LIMITS_FILE).write_text("vcpus: 8\n")
    runs = created(client, 3, requirements={"max_vcpus": 4})
    assert asked(gate, client) == runs[:2]
    started(client, runs[:2])
    assert state_of(client, runs[2])[2] == "QuotaVcpus: 8 of 8 vCPUs are in use, 4 more needed"
    (tmp_path / LIMITS_FILE).write_text("vcpus: nothing\n")  # not valid: the limits of before stay in force
    assert asked(gate, client) == []
    (tmp_path / LIMITS_FILE).unlink()
    assert asked(gate, client) == [runs[2]]


def test_larger_pool_lets_more_in(gate: Gate, client: SyncPrefectClient) -> None:
    runs = created(client, MOST + 1)
    started(client, asked(gate, client))
    assert asked(gate, client) == []
    client.update_work_pool(CONTROLLER_POOL, WorkPoolUpdate(concurrency_limit=20))
    queue = client.read_work_queue_by_name("jobs", work_pool_name=CONTROLLER_POOL)
    client.update_work_queue(queue.id, concurrency_limit=MOST + 1)
    assert asked(gate, client) == [runs[MOST]]


def test_paused_queue_starts_nothing(gate: Gate, client: SyncPrefectClient) -> None:
    runs = created(client, 1)
    queue = client.read_work_queue_by_name("jobs", work_pool_name=CONTROLLER_POOL)
    client.update_work_queue(queue.id, is_paused=True)
    assert asked(gate, client) == []
    assert state_of(client, runs[0])[1] == "Scheduled"
    client.update_work_queue(queue.id, is_paused=False)
    assert asked(gate, client) == runs


def test_restarted_job_starts_before_all_others(gate: Gate, client: SyncPrefectClient) -> None:
    """Its controller has died, and it may have a machine that bills."""
    runs = created(client, MOST + 2)
    started(client, asked(gate, client))
    client.set_flow_run_state(runs[0], Scheduled(), force=True)
    assert asked(gate, client) == [runs[0]]


def test_cancelled_run_is_not_queued(gate: Gate, client: SyncPrefectClient) -> None:
    """A user cancels it between the gate's question and its answer."""
    run = client.read_flow_run(created(client, 1)[0])
    client.set_flow_run_state(run.id, Cancelled())

    async def queue() -> None:
        async with get_client() as one:
            await gate._queue(one, run, "QuotaJobs: 3 of 3 jobs are running")

    asyncio.run(queue())
    assert state_of(client, run.id)[0] is StateType.CANCELLED


def test_future_run_is_left_alone(gate: Gate, client: SyncPrefectClient) -> None:
    flow = client.create_flow(controller_flows.writes)
    deployment = client.create_deployment(flow, "now", work_pool_name=CONTROLLER_POOL, work_queue_name="jobs")
    tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    client.create_flow_run_from_deployment(deployment, state=tomorrow, parameters={"line": ""})
    assert asked(gate, client) == []
