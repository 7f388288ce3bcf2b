"""Whether a job is still active: the one place that derives it from the state of its run.

A state can be set from outside, in the UI or through the API, without notice to any process. So whatever keeps a
machine running polls it here, and every launch checks it first.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from spotwave.tasks import api

# A run in a process of its own gets a signal when it is cancelled. If none arrives for this long, none will: after an
# outage of the server, Prefect stops observing cancellations (PrefectHQ/prefect#18840). Threads get no signals.
SIGNAL_S = 10.0


_suspended: set[UUID] = set()


class RunStatus(StrEnum):
    """What should happen to a job."""

    ACTIVE = "active"  #: continue; also for a crashed run, which will be restarted
    SUSPENDED = "suspended"  #: no machine until it is resumed
    CANCELLING = "being cancelled"  #: its process gets a signal; a thread ends itself
    ENDED = "ended"  #: Cancelled, Failed or Completed, from whatever side, or deleted


class Ended(RuntimeError):
    """The run was ended from outside: its machine must be terminated, and no other one launched."""


class Superseded(RuntimeError):
    """Another engine executes this run, or is about to; this one must not change anything more."""


def _without_trace(record: logging.LogRecord) -> bool:
    """Log the end of a job by its user as one line: nothing has gone wrong in the code."""
    if record.exc_info and isinstance(record.exc_info[1], (Ended, Superseded)):
        record.exc_info = None
    return True


logging.getLogger("prefect.task_runs").addFilter(_without_trace)


def run_of(prefect: SyncPrefectClient, flow_run_id: UUID) -> FlowRun | None:
    """Return the run; None if it was deleted."""
    try:
        return prefect.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return None


def status_of(run: FlowRun | None) -> RunStatus:
    """Return the status of a run; None means that it was deleted."""
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
    """Whether the run is active, for the engine that executes it; False if it is suspended.

    run_count: which start of the run this engine is. Raises Ended, Superseded, and the client's error if the API does
    not answer.
    """
    run = api.newest_run(prefect, flow_run_id)
    if run is not None and (run.run_count or 0) > run_count:
        raise Superseded(f"flow run {flow_run_id} has a newer engine")
    match status_of(run):
        case RunStatus.ENDED:
            raise Ended(f"the run {how(run)}")
        case RunStatus.CANCELLING:
            assert run is not None
            assert run.state is not None
            no_signal = threading.current_thread() is not threading.main_thread()
            if no_signal or api.now() - run.state.timestamp > timedelta(seconds=SIGNAL_S):
                raise Ended("the run is being cancelled")
        case RunStatus.SUSPENDED:
            _suspended.add(flow_run_id)
            return False
    if run is not None and run.state is not None and run.state.type in (StateType.SCHEDULED, StateType.PENDING):
        raise Superseded(f"flow run {flow_run_id} is about to be restarted")
    return True


def begin(flow_run_id: UUID) -> None:
    """Record that an engine starts to execute the run."""
    _suspended.discard(flow_run_id)


def seen_suspended(flow_run_id: UUID) -> bool:
    """Whether this process has seen that the run is suspended. Its engine must then end, even if the run is active
    again: another engine may exist, since Prefect does not count a resume as a start (run_count)."""
    return flow_run_id in _suspended


def how(run: FlowRun | None) -> str:
    """Describe the run's end, for messages that begin with "the run"."""
    if run is None:
        return "was deleted"
    return f"was set to {run.state.name}" if run.state is not None else "has no state"


def awaits_approval(state: State[object]) -> bool:
    """Whether the run suspended itself to wait for an approval (flows.loop.approval), and not from outside."""
    return state.state_details.run_input_keyset is not None
