"""What somebody has suspended stays so until he resumes it; what waits for an answer has its time."""

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
    """One run, and what its state is made."""

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
def test_a_suspension_by_hand_has_no_end_and_a_pause_is_one(state: State[Any]) -> None:
    """Prefect would fail a run that is resumed after the UI's five minutes, and resume a paused one into no process."""
    found = left(state)
    assert (found.type, found.name) == (StateType.PAUSED, "Suspended")
    assert found.state_details.pause_reschedule
    assert found.state_details.pause_timeout is None


def test_what_is_held_already_is_let_be() -> None:
    state = Suspended()
    assert left(state) is state


def test_an_approval_that_nobody_has_given_in_time_ends_the_job() -> None:
    state = Suspended(pause_expiration_time=BEFORE)
    state.state_details.run_input_keyset = {"schema": "paused-approval-schema"}
    assert left(state).type is StateType.FAILED


def test_a_run_that_was_resumed_meanwhile_goes_on() -> None:
    prefect: Any = FakePrefect(Running())
    end_unanswered_approvals(prefect)
    assert prefect.run.state.type is StateType.RUNNING
