"""A run that a user suspended stays so until it is resumed; a run that awaits approval has a time limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.states import Paused, Running, Suspended

from spotwave.flows.housekeeping.approval_timeout import end_unanswered_approvals

BEFORE = datetime.now(UTC) - timedelta(minutes=1)


class FakePrefect:
    """One run, and the state that it gets."""

    def __init__(self, state: State[Any]) -> None:
        self.run = SimpleNamespace(id=uuid4(), name="run", state=state)

    def read_flow_runs(self, **_: Any) -> list[SimpleNamespace]:
        return [self.run]

    def read_flow_run(self, run_id: UUID) -> SimpleNamespace:
        return self.run

    def set_flow_run_state(self, run_id: UUID, state: State[Any], force: bool) -> None:
        assert force
        self.run.state = state


def left(state: State[Any]) -> State[Any]:
    prefect: Any = FakePrefect(state)
    end_unanswered_approvals(prefect)
    found: State[Any] = prefect.run.state
    return found


@pytest.mark.parametrize("state", [Suspended(pause_expiration_time=BEFORE), Paused(pause_expiration_time=BEFORE)])
def test_manual_suspensions_and_pauses_have_no_timeout(state: State[Any]) -> None:
    """Prefect would fail a run resumed after the UI's five minutes, and resume a paused one without a process."""
    found = left(state)
    assert (found.type, found.name) == (StateType.PAUSED, "Suspended")
    assert found.state_details.pause_reschedule
    assert found.state_details.pause_timeout is None


def test_suspension_without_timeout_is_unchanged() -> None:
    state = Suspended()
    assert left(state) is state


def test_approval_timeout_ends_the_job() -> None:
    state = Suspended(pause_expiration_time=BEFORE)
    state.state_details.run_input_keyset = {"schema": "paused-approval-schema"}
    assert left(state).type is StateType.FAILED


def test_resumed_run_is_unchanged() -> None:
    prefect: Any = FakePrefect(Running())
    end_unanswered_approvals(prefect)
    assert prefect.run.state.type is StateType.RUNNING
