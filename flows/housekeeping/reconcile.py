"""The reconcile flow: resume the jobs of a controller that has stopped.

Prefect does not restart a run whose process is gone. If its worker is gone too, the run stays Running forever.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from uuid import UUID

import psutil
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
    TaskRunFilterState,
    TaskRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed, Failed, Scheduled

from spotwave.flows.housekeeping.approval_timeout import end_unanswered_approvals
from spotwave.flows.housekeeping.settle_bills import settle_bills
from spotwave.flows.loop.run_lock import is_locked
from spotwave.node.contract import CONTROLLER_POOL, HOUSEKEEPING_QUEUE, JOBS_QUEUE, job_key_of
from spotwave.tasks import api
from spotwave.tasks.run_status import run_of

DELAY_S = 5.0
PENDING_S = 60.0  # how long a run may take from worker to engine
MOST_STARTS = 6  # a run whose engine keeps crashing is given up after this many starts
AGE = timedelta(days=14)


@flow(name="reconcile")
def reconcile() -> dict[str, str]:
    """Run `adopt` on a schedule."""
    log = get_run_logger()
    done = adopt(api.client(), me=UUID(flow_run.id))
    for name, action in done.items():
        log.info("%s: %s", name, action)
    if not done:
        log.info("no run has lost its controller process")
    return done


def adopt(prefect: SyncPrefectClient, me: UUID | None = None) -> dict[str, str]:
    """Handle every run of the controller's pool whose process is gone; return what was done, by run name.

    A job is rescheduled, or ended if it was being cancelled. A housekeeping run is ended, since its deployment allows
    one run at a time and a stale run would block the schedule. A job whose approval has timed out is ended too, and the
    open bills of ended jobs are requested again. `me` is the calling run, which is skipped.
    """
    done = end_unanswered_approvals(prefect)
    for queue, act in ((JOBS_QUEUE, _act_on_job), (HOUSEKEEPING_QUEUE, _end)):
        for run in _unfinished_runs(prefect, queue):
            if run.id != me and not _may_be_starting(run) and not _has_process(run) and _state_unchanged(prefect, run):
                done[run.name] = act(prefect, run)
    return done | settle_bills(prefect)


def _unfinished_runs(prefect: SyncPrefectClient, queue: str) -> list[FlowRun]:
    """Return the unfinished runs of the last days, from all pages; crashed runs only for jobs, which are restarted."""
    states = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    if queue == JOBS_QUEUE:
        states.append(StateType.CRASHED)
    found: list[FlowRun] = []
    while True:
        page = prefect.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[CONTROLLER_POOL])),
            work_queue_filter=WorkQueueFilter(name=WorkQueueFilterName(any_=[queue])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))),
            limit=200,
            offset=len(found),
        )
        found += page
        if len(page) < 200:
            return [run for run in found if run.created is None or api.now() - run.created < AGE]


def _state_unchanged(prefect: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether the run is still in the state in which it was found: a run that a user has ended meanwhile stays so."""
    now = run_of(prefect, run.id)
    return now is not None and now.state_type is run.state_type


def _may_be_starting(run: FlowRun) -> bool:
    """Whether the run may be between worker and engine, where it has no visible process yet."""
    assert run.state is not None
    young = api.now() - run.state.timestamp < timedelta(seconds=PENDING_S)
    return run.state_type is StateType.PENDING and young


def _act_on_job(prefect: SyncPrefectClient, run: FlowRun) -> str:
    if run.state_type is StateType.CANCELLING:
        prefect.set_flow_run_state(run.id, Cancelled(message="cancelled while its controller was down"), force=True)
        return "cancelled; reap removes its machine"
    if (run.run_count or 0) >= MOST_STARTS and (starts := _starts(prefect, run)) >= MOST_STARTS:
        message = f"given up: its controller process ended {starts} times. The checkpoint is kept."
        prefect.set_flow_run_state(run.id, Failed(message=message), force=True)
        return "given up"
    if run.state_type is not StateType.CRASHED:
        _end(prefect, run)
    _end_steps(prefect, run)
    # Delayed: a stopping worker may still report the crash, which would restart an already restarted run again.
    later = api.now() + timedelta(seconds=DELAY_S)
    again: State[None] = Scheduled(scheduled_time=later, message="rescheduled: its controller process was gone")
    prefect.set_flow_run_state(run.id, again, force=True)
    return f"rescheduled (job {job_key_of(run.id)})"


def _starts(prefect: SyncPrefectClient, run: FlowRun) -> int:
    """Return how often a process was started for the run.

    The server's run_count counts every state of type Running, some of which a waiting job sets itself
    (tasks.machine.placement_rounds). Pending occurs once per start.
    """
    return sum(state.type is StateType.PENDING for state in prefect.read_flow_run_states(run.id))


def _end(prefect: SyncPrefectClient, run: FlowRun) -> str:
    gone: State[None] = Crashed(message="its controller process is gone")
    prefect.set_flow_run_state(run.id, gone, force=True)
    return "ended"


def _end_steps(prefect: SyncPrefectClient, run: FlowRun) -> None:
    """End the task runs that the process was executing; otherwise the run's page shows them as running forever."""
    at_work = TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    of_run = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run.id]), state=at_work)
    for step in prefect.read_task_runs(task_run_filter=of_run):
        prefect.set_task_run_state(step.id, Crashed(message="its controller process is gone"), force=True)


def _has_process(run: FlowRun) -> bool:
    """Whether a process executes this run: by its lock or process on this host, elsewhere by its worker's report."""
    if is_locked(job_key_of(run.id)):
        return True
    host, _, pid = (run.infrastructure_pid or "").rpartition(":")
    if not pid.isdigit():
        return False
    if host and host != socket.gethostname():
        return run.state_type is not StateType.CRASHED  # only its own host can decide
    return _is_engine(int(pid), run.id)


def _is_engine(pid: int, flow_run_id: UUID) -> bool:
    """Whether this process still executes this run, and is not another process with a reused pid."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get("PREFECT__FLOW_RUN_ID") == str(flow_run_id)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
