"""Whether a job is still to be carried, by the state of its run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
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
    """Knows one run, in a state; None: it was deleted."""

    def __init__(self, state: State[Any] | None, run_count: int = 1) -> None:
        self._state, self._run_count = state, run_count

    def read_flow_run(self, run_id: object) -> SimpleNamespace:
        assert run_id == RUN
        if self._state is None:
            raise ObjectNotFound(http_exc=LookupError("deleted"))
        return SimpleNamespace(state=self._state, run_count=self._run_count)


def asked(state: State[Any] | None, run_count: int = 1) -> bool:
    prefect: Any = FakePrefect(state, run_count)
    return still_active(prefect, RUN, 1)


@pytest.mark.parametrize("state", [Running, partial(Running, name="Waiting"), Crashed, Cancelling])
def test_a_job_goes_on(state: Callable[[], State[Any]]) -> None:
    """Crashed is adopted; one that is being cancelled hears of it by a signal, which comes at once."""
    assert asked(state())


@pytest.mark.parametrize("state", [Suspended(), Paused()])
def test_a_job_waits(state: State[Any]) -> None:
    assert not asked(state)


@pytest.mark.parametrize("state", [Cancelled(), Failed(), Completed(), Failed(name="Mine"), None])
def test_a_job_ends_by_a_final_state_whoever_has_set_it_and_when_its_run_is_deleted(state: State[Any] | None) -> None:
    with pytest.raises(Ended, match=f"was set to {state.name}" if state else "was deleted"):
        asked(state)
    prefect: Any = FakePrefect(state)
    assert ended(prefect, RUN)


def test_a_cancelling_that_no_signal_follows_ends_the_job() -> None:
    long_ago = datetime.now(UTC) - timedelta(seconds=2 * SIGNAL_S)
    with pytest.raises(Ended, match="cancelled"):
        asked(Cancelling(timestamp=long_ago))


@pytest.mark.parametrize(("state", "run_count"), [(Running(), 2), (Completed(), 2), (Scheduled(), 1), (Pending(), 1)])
def test_what_another_engine_carries_is_left_to_it(state: State[Any], run_count: int) -> None:
    with pytest.raises(Superseded):
        asked(state, run_count)
