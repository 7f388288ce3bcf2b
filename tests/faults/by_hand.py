"""What a user can do to a job's run in the UI or through the API."""

from __future__ import annotations

from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Completed, Failed, Suspended

from tests.faults.live import Live
from tests.flows.kit import eventually

GONE_S = 120.0  # time limit until a suspended job has saved its work and has no machine
UI_S = 300  # timeout of a suspension in the UI


def cancel(live: Live) -> None:
    live.job.client.set_flow_run_state(live.job.run_id, Cancelled(message="by hand"))


def fail(live: Live) -> None:
    live.job.client.set_flow_run_state(live.job.run_id, Failed(message="by hand"))


def complete(live: Live) -> None:
    live.job.client.set_flow_run_state(live.job.run_id, Completed(message="by hand"))


def delete(live: Live) -> None:
    live.job.client.delete_flow_run(live.job.run_id)
    live.job.deleted = True


def suspend(live: Live) -> None:
    live.job.client.set_flow_run_state(live.job.run_id, Suspended(timeout_seconds=UI_S), force=True)


def resume(live: Live) -> None:
    """Resume the run once it has no machine and waits without a limit. Safe to repeat."""

    def held() -> bool:
        state = live.job.run.state
        if state is None or state.type is not StateType.PAUSED:
            return True
        return state.state_details.pause_timeout is None and not live.testbed.left(live.key)

    eventually("the suspended job has no machine", held, GONE_S, 0.5)
    state = live.job.run.state
    if state is not None and state.type is StateType.PAUSED:
        live.job.client.resume_flow_run(live.job.run_id)
