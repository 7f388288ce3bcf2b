"""Whether a job is still active, by the state of its run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    Suspended,
)

from spotwave.tasks.run_status import SIGNAL_S, Ended, Superseded, ended, still_active

RUN = uuid4()


class FakePrefect:
    """Has one run, in a given state; None: the run was deleted."""

    api_url = "http://prefect.test/api"

    def __init__(self, state: State[Any] | None, run_count: int = 1) -> None:
        self._state, self._run_count = state, run_count

    def read_flow_run(self, run_id: object) -> SimpleNamespace:
        assert run_id == RUN
        if self._state is None:
            raise ObjectNotFound(http_exc=LookupError("deleted"))
        return SimpleNamespace(id=RUN, state=self._state, run_count=self._run_count)

    def read_flow_runs(self, flow_run_filter: FlowRunFilter, limit: int) -> list[SimpleNamespace]:
        assert flow_run_filter.id is not None
        assert flow_run_filter.id.any_ == [RUN]
        return [] if self._state is None else [self.read_flow_run(RUN)]


def is_active(state: State[Any] | None, run_count: int = 1) -> bool:
    prefect: Any = FakePrefect(state, run_count)
    return still_active(prefect, RUN, 1)


@pytest.mark.parametrize("state", [Running, partial(Running, name="Waiting"), Crashed, Cancelling])
def test_active_job(state: Callable[[], State[Any]]) -> None:
    """A crashed run is adopted; a run that is being cancelled gets a signal at once."""
    assert is_active(state())


@pytest.mark.parametrize("state", [Suspended(), Paused()])
def test_suspended_job_is_not_active(state: State[Any]) -> None:
    assert not is_active(state)


@pytest.mark.parametrize("state", [Cancelled(), Failed(), Completed(), Failed(name="Mine"), None])
def test_job_ends_on_any_final_state_and_when_its_run_is_deleted(state: State[Any] | None) -> None:
    with pytest.raises(Ended, match=f"was set to {state.name}" if state else "was deleted"):
        is_active(state)
    prefect: Any = FakePrefect(state)
    assert ended(prefect, RUN)


def test_cancelling_without_a_signal_ends_the_job() -> None:
    long_ago = datetime.now(UTC) - timedelta(seconds=2 * SIGNAL_S)
    with pytest.raises(Ended, match="cancelled"):
        is_active(Cancelling(timestamp=long_ago))


def test_cancelling_ends_a_job_in_a_thread_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """A thread gets no signal. The end is one line in the log of its task, without a trace."""

    def body() -> Any:
        with pytest.raises(Ended, match="cancelled"):
            is_active(Cancelling())
        try:
            is_active(Cancelling())
        except Ended:
            logging.getLogger("prefect.task_runs").exception("Task run failed")
        return True

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(body).result()
    (record,) = [record for record in caplog.records if record.message == "Task run failed"]
    assert record.exc_info is None


@pytest.mark.parametrize(("state", "run_count"), [(Running(), 2), (Completed(), 2), (Scheduled(), 1), (Pending(), 1)])
def test_newer_engine_supersedes_this_one(state: State[Any], run_count: int) -> None:
    with pytest.raises(Superseded):
        is_active(state, run_count)
