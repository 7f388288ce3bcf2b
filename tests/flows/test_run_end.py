"""A flow's own end, and states set from outside that it must not overwrite."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import Abort, Pause, TerminationSignal
from prefect.states import Cancelled, Cancelling, Completed, Failed, Running, Suspended

from spotwave.flows.drill import drill
from spotwave.flows.loop import run_end as module
from spotwave.flows.loop.run_end import respects_outside_state
from spotwave.flows.loop.run_lock import RunLocked
from spotwave.flows.shci import shci
from spotwave.tasks.run_status import Ended, Superseded

SIGNAL = TerminationSignal(15)


class FakePrefect:
    """One run, with its state as the flow leaves it."""

    def __init__(self, state: State[Any]) -> None:
        self.state = state

    def read_flow_run(self, run_id: object) -> SimpleNamespace:
        return SimpleNamespace(id=run_id, state=self.state, run_count=1)

    def set_flow_run_state(self, run_id: object, state: State[Any], force: bool) -> None:
        assert force
        self.state = state


def end_with(monkeypatch: pytest.MonkeyPatch, state: State[Any], end: BaseException | str = "result") -> FakePrefect:
    """Run a flow that returns or raises `end` while its run is in that state. Raises what the flow finally raises."""
    prefect = FakePrefect(state)
    monkeypatch.setattr(module.api, "client", lambda: prefect)
    monkeypatch.setattr(module, "flow_run", SimpleNamespace(id=str(uuid4())))
    monkeypatch.setattr(module, "get_run_logger", lambda: SimpleNamespace(warning=lambda *_: None))

    @respects_outside_state
    def story() -> str:
        if isinstance(end, BaseException):
            raise end
        return end

    try:
        assert story() == end
    finally:
        monkeypatch.undo()
    return prefect


def test_undisturbed_run_gets_the_flows_own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    end_with(monkeypatch, Running())
    for fault in (ValueError("a fault"), SIGNAL):
        with pytest.raises(type(fault)):
            end_with(monkeypatch, Running(), fault)


@pytest.mark.parametrize("state", [Cancelled(), Failed(), Completed()])
@pytest.mark.parametrize("end", ["result", ValueError("a fault"), SIGNAL, Ended("the run was set to that")])
def test_final_state_set_by_hand_stays(
    monkeypatch: pytest.MonkeyPatch, state: State[Any], end: BaseException | str
) -> None:
    """Also on a signal, as `down` sends it: Prefect would force Crashed, and the job would be restarted."""
    with pytest.raises(Abort):
        end_with(monkeypatch, state, end)


@pytest.mark.parametrize("end", [Superseded("newer"), RunLocked("another")])
def test_run_of_another_engine_keeps_its_state(monkeypatch: pytest.MonkeyPatch, end: BaseException) -> None:
    with pytest.raises(Abort):
        end_with(monkeypatch, Running(), end)


def test_suspended_job_stays_suspended_on_down(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Pause):
        end_with(monkeypatch, Suspended(), SIGNAL)


def test_cancelling_run_without_signal_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    prefect = FakePrefect(Cancelling())
    monkeypatch.setattr(module.api, "client", lambda: prefect)
    monkeypatch.setattr(module, "flow_run", SimpleNamespace(id=str(uuid4())))
    with pytest.raises(Abort):
        module._leave(cancelling=True)
    assert prefect.state.type is StateType.CANCELLED


@pytest.mark.parametrize("flow", [shci, drill])
def test_wrapped_flow_keeps_its_parameters(flow: Any) -> None:
    assert flow.validate_parameters({}).keys() == flow.parameters.properties.keys()
