"""Executes one flow run in the current thread, with Prefect's own engine.

`prefect.engine` is made for one run per process. For each run it starts a thread that sends heartbeat events, and for
each run of a deployment a thread with an event loop, a client and a websocket that waits for a suspension. In a process
with many runs both are left out: nothing here reads the heartbeat events, and the job itself reads whether its run is
suspended (tasks.run_status).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from prefect._flow_run_suspension import FlowRunSuspensionRequest, register_flow_run_suspension_request
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import FlowRunEngine
from prefect.flows import Flow


class ThreadEngine(FlowRunEngine[Any, Any]):
    """Prefect's engine without its threads per run."""

    @property
    def heartbeat_seconds(self) -> int | None:
        return None

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Generator[FlowRunSuspensionRequest, None, None]:
        assert self.flow_run is not None
        request = self._get_flow_run_suspension_request()
        with register_flow_run_suspension_request(self.flow_run.id, request):
            request.raise_if_requested()
            yield request


def execute(flow: Flow[Any, Any], run: FlowRun) -> None:
    """Execute the run to its end, as `prefect.flow_engine.run_flow_sync` does.

    Returns when the run's state has been reported, or belongs to somebody else (a run that was cancelled or suspended).
    Raises what kept it from being reported; an error of the flow itself is a reported state.
    """
    engine = ThreadEngine(flow=flow, flow_run=run, parameters=run.parameters)
    try:
        with engine.start():
            while engine.is_running():
                with engine.run_context():
                    engine.call_flow_fn()
    except (Abort, Pause):
        return
    except Exception:  # of the flow: its state is reported; re-raised if it is not, e.g. when the API does not answer
        if not engine.state.is_final():
            raise
