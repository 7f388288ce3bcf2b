"""A job suspended by a user: its process ends once its machine is terminated, and resuming starts a new process.

Prefect would end the process at the next task, whichever that is (prefect/_flow_run_suspension.py), even before the
machine is terminated. So Prefect's own handling is switched off: the loop reads the run's state (tasks.run_status), and
ends itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import Suspended

from spotwave.tasks import api
from spotwave.tasks.machine.suspend import resumed
from spotwave.tasks.records import Job
from spotwave.tasks.run_status import (
    RunStatus,
    awaits_approval,
    begin,
    run_of,
    seen_suspended,
    status_of,
    still_active,
)

_NAME = "Suspended"


@contextmanager
def without_prefect_suspension() -> Iterator[None]:
    """Run tasks within the block even if the run has been suspended."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    begin(context.flow_run.id)
    request = type(context.flow_run_suspension_request)()
    with context.model_copy(update={"flow_run_suspension_request": request}):
        yield


def until_resumed(job: Job, attempt: int, since: float, run_count: int) -> float:
    """Return how long the job was suspended, in seconds. since: when it lost its machine (Unix seconds).
    run_count: as `Rounds.run_count`.

    Raises Pause if it is still suspended or was suspended while this engine ran, and Superseded, Ended.
    """
    prefect = api.client()
    if not still_active(prefect, job.flow_run_id, run_count) or seen_suspended(job.flow_run_id):
        get_run_logger().warning(
            "suspended: no machine is running, and only storage on the remote is billed. Resume this run to continue."
        )
        raise Pause(state=keep_suspended(prefect, job.flow_run_id))
    return max(0.0, resumed(job, attempt) - since)


def keep_suspended(prefect: SyncPrefectClient, flow_run_id: Any) -> State[Any] | None:
    """Keep a run that a user has suspended until it is resumed, without a time limit; return its state.

    The UI limits a suspension to five minutes, after which Prefect fails a run that is resumed. A paused run would be
    resumed in a process that has ended, so it is suspended instead. Safe to repeat.
    """
    run = run_of(prefect, flow_run_id)
    if run is None or run.state is None or status_of(run) is not RunStatus.SUSPENDED or awaits_approval(run.state):
        return None if run is None else run.state
    details = run.state.state_details
    if run.state.name == _NAME and details.pause_reschedule and details.pause_timeout is None:
        return run.state
    for_good: State[Any] = Suspended(
        pause_key=details.pause_key, message="Resume it at any time: it continues from its checkpoint."
    )
    prefect.set_flow_run_state(run.id, for_good, force=True)
    return for_good
