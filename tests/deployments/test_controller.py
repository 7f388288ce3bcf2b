"""Many runs in threads of one process: each has its own state and log, and none can stop another."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.states import Cancelling

from spotwave.blocks.home import environment_of
from spotwave.deployments.controller.run_threads import FAILED, OK, RunThreads
from spotwave.flows.loop.run_lock import executing, is_locked, run_lock
from spotwave.node.contract import job_key_of
from tests.deployments import controller_flows
from tests.flows.kit import eventually
from tests.flows.logs import messages

pytestmark = pytest.mark.slow(minutes=0.5)


@pytest.fixture(autouse=True)
def storage(tmp_path: Path) -> Iterator[None]:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"}):
        yield


@pytest.fixture
def client(plain_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


def created(client: SyncPrefectClient, flow: Flow[..., Any], **parameters: Any) -> FlowRun:
    return client.create_flow_run(flow, parameters=parameters)


def entrypoint(flow: Flow[..., Any]) -> str:
    return f"{controller_flows.__name__}.{flow.fn.__name__}"


def test_runs_do_not_disturb_each_other(client: SyncPrefectClient, tmp_path: Path) -> None:
    """A run that never yields, one that raises, one that exits and one that is cancelled, beside six that work."""
    stop = tmp_path / "stop"
    working = [created(client, controller_flows.writes, line=f"line {number}") for number in range(6)]
    never = created(client, controller_flows.never_yields, until=str(stop))
    waiting = created(client, controller_flows.waits, until=str(stop))
    raising, exiting = created(client, controller_flows.raises), created(client, controller_flows.exits)
    cancelled = created(client, controller_flows.waits, until=str(tmp_path))
    client.set_flow_run_state(cancelled.id, Cancelling(), force=True)
    flows = {
        **{run.id: controller_flows.writes for run in working},
        never.id: controller_flows.never_yields,
        waiting.id: controller_flows.waits,
        raising.id: controller_flows.raises,
        exiting.id: controller_flows.exits,
        cancelled.id: controller_flows.waits,
    }

    async def all_of_them() -> dict[Any, int]:
        threads, begun = RunThreads(logging.getLogger(__name__)), list[Any]()

        async def one(run: FlowRun) -> int:
            return await threads.execute(run, entrypoint(flows[run.id]), lambda: begun.append(run.id))

        long = [asyncio.create_task(one(run)) for run in (never, waiting)]
        ended = dict(
            zip(
                [run.id for run in (*working, raising, exiting, cancelled)],
                await asyncio.gather(*(one(run) for run in (*working, raising, exiting, cancelled))),
                strict=True,
            )
        )
        assert not any(task.done() for task in long), "the two are still at work"
        assert [is_locked(job_key_of(run.id)) for run in (never, working[0])] == [True, False]
        stop.touch()
        ended |= {run.id: code for run, code in zip((never, waiting), await asyncio.gather(*long), strict=True)}
        assert set(begun) == set(flows)
        return ended

    codes = asyncio.run(all_of_them())
    assert {run_id for run_id, code in codes.items() if code != OK} == {exiting.id}
    states = {run_id: client.read_flow_run(run_id).state_type for run_id in flows}
    other = {raising.id: StateType.FAILED, exiting.id: StateType.CRASHED, cancelled.id: StateType.CANCELLED}
    assert states == {run_id: other.get(run_id, StateType.COMPLETED) for run_id in flows}
    for number, run in enumerate(working):
        lines = eventually("its log has arrived", lambda id_=run.id: _lines(client, id_), 60)
        assert lines == [f"line {number}"], "its own line, and no other run's"
    engines = [thread.name for thread in threading.enumerate() if thread.name.startswith("sw-")]
    assert engines == []


def _lines(client: SyncPrefectClient, run_id: Any) -> list[str]:
    return [line for line in messages(client, run_id) if line.startswith("line ")]


def test_run_that_cannot_be_loaded_is_reported_as_failed(client: SyncPrefectClient) -> None:
    run = created(client, controller_flows.writes, line="never")
    threads = RunThreads(logging.getLogger(__name__))
    code = asyncio.run(threads.execute(run, f"{controller_flows.__name__}.is_missing", lambda: None))
    assert code == FAILED
    assert not is_locked(job_key_of(run.id))


def test_deleted_run_ends_quietly(client: SyncPrefectClient) -> None:
    run = created(client, controller_flows.writes, line="never")
    client.delete_flow_run(run.id)
    threads = RunThreads(logging.getLogger(__name__))
    assert asyncio.run(threads.execute(run, entrypoint(controller_flows.writes), lambda: None)) == OK


def test_execution_is_seen_from_outside() -> None:
    folder = Path(PREFECT_LOCAL_STORAGE_PATH.value()).parent / "engines"
    key = job_key_of(uuid4())
    with executing(key):
        assert is_locked(key)
    assert not is_locked(key)
    assert os.listdir(folder) == [], "a run that is not a job leaves no file"
    with run_lock(key):  # from here on it is a job
        pass
    with executing(key):
        with executing(key):  # a resumed run begins while its former thread still ends its machine
            pass
        assert is_locked(key)
    assert not is_locked(key)


@pytest.mark.parametrize(
    ("job_variables", "expected"),
    [
        (None, {}),
        ({"env": None}, {}),
        ({"env": {"A": None}}, {}),
        ({"env": "A=1"}, {}),
        ({"env": {"A": "1"}}, {"A": "1"}),
        ({"env.A": "1", "env": {"B": "2"}}, {"A": "1", "B": "2"}),
    ],
)
def test_environment_of_job_variables(job_variables: Any, expected: dict[str, str]) -> None:
    assert environment_of(job_variables) == expected
