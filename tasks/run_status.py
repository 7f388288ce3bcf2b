"""Whether a job is still to be carried on: the one place that reads it off the state of its run.

A state can be set from outside, in the UI or through the API, and no process is told of it. So whatever keeps a machine
up asks here again and again, and so does every launch before it is made.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from spotwave.tasks import api

# A run that is being cancelled is told so by a signal, at once. One that hears nothing for so long never will: after an
# outage of the server Prefect gives the observing of cancellations up (PrefectHQ/prefect#18840).
SIGNAL_S = 10.0


_suspended: set[UUID] = set()


class RunStatus(StrEnum):
    """What is wanted of a job."""

    ACTIVE = "carried"  #: go on; also of a run that crashed, which is taken up again
    SUSPENDED = "suspended"  #: no machine until it is resumed
    CANCELLING = "being cancelled"  #: its process is sent a signal
    ENDED = "ended"  #: Cancelled, Failed or Completed, by whomever, or deleted


class Ended(RuntimeError):
    """The run was ended from outside: its machine must go, and no other may be launched."""


class Superseded(RuntimeError):
    """Another engine executes this run, or is about to; this one must touch nothing more."""


def run_of(prefect: SyncPrefectClient, flow_run_id: UUID) -> FlowRun | None:
    """None if it was deleted."""
    try:
        return prefect.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return None


def status_of(run: FlowRun | None) -> RunStatus:
    """None: the run was deleted."""
    if run is None:
        return RunStatus.ENDED
    match run.state.type if run.state is not None else None:
        case StateType.CANCELLED | StateType.FAILED | StateType.COMPLETED:
            return RunStatus.ENDED
        case StateType.CANCELLING:
            return RunStatus.CANCELLING
        case StateType.PAUSED:
            return RunStatus.SUSPENDED
        case _:
            return RunStatus.ACTIVE


def ended(prefect: SyncPrefectClient, flow_run_id: UUID) -> bool:
    """Whether the run has ended, or is being cancelled."""
    return status_of(run_of(prefect, flow_run_id)) in (RunStatus.ENDED, RunStatus.CANCELLING)


def still_active(prefect: SyncPrefectClient, flow_run_id: UUID, run_count: int) -> bool:
    """Asked by the engine that executes the run; False where the run is suspended.

    run_count: which start of the run this engine is. Raises Ended, Superseded, and whatever the client does where the
    API does not answer.
    """
    run = run_of(prefect, flow_run_id)
    if run is not None and (run.run_count or 0) > run_count:
        raise Superseded(f"flow run {flow_run_id} has a newer engine")
    match status_of(run):
        case RunStatus.ENDED:
            raise Ended(f"its run {how(run)}")
        case RunStatus.CANCELLING:
            assert run is not None
            assert run.state is not None
            if api.now() - run.state.timestamp > timedelta(seconds=SIGNAL_S):
                raise Ended("its run is being cancelled")
        case RunStatus.SUSPENDED:
            _suspended.add(flow_run_id)
            return False
    if run is not None and run.state is not None and run.state.type in (StateType.SCHEDULED, StateType.PENDING):
        raise Superseded(f"flow run {flow_run_id} is about to be executed anew")
    return True


def begin(flow_run_id: UUID) -> None:
    """An engine takes the run up."""
    _suspended.discard(flow_run_id)


def seen_suspended(flow_run_id: UUID) -> bool:
    """Whether the engine of this process has been told that the run is suspended: it must end, even if the run goes on
    by now. For then there may be another engine, and Prefect does not count a resuming as a start (run_count)."""
    return flow_run_id in _suspended


def how(run: FlowRun | None) -> str:
    """The end of a sentence that begins with "its run"."""
    if run is None:
        return "was deleted"
    return f"was set to {run.state.name}" if run.state is not None else "has no state"


def awaits_approval(state: State[object]) -> bool:
    """Whether the run was suspended by itself for somebody's answer (flows.loop.approval), and not from outside."""
    return state.state_details.run_input_keyset is not None
