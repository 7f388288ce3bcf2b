"""The engine of a detached run, started by node.agent.detached_engine: `python -m spotwave.node.agent.detached_run`.

Executes the node flow against the machine's own Prefect server. Records the log lines and task-run events that the
controller's server would have received, unchanged except that they carry the controller's run id. The controller
forwards them to its server (tasks.machine.mailbox), so its UI shows the attempt as if the machine had sent them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import Event
from prefect.events.worker import EventsWorker, ProcessPoolForwardingEventsClient
from prefect.flow_engine import run_flow
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.logging.handlers import set_api_log_sink
from prefect.states import Pending

from spotwave.node.contract import BRIEF_FILE, ENV_WORK, RECORD_FILE, RUN_FILE, Brief, Submission

DRAIN_S = 10.0


class Recorder:
    """Appends lines {"log": ...} and {"event": ...} to the record, in the format of the Prefect API."""

    def __init__(self, path: Path, own_id: str, id_: str) -> None:
        self._ids = own_id, id_
        self._lock = threading.Lock()
        self._file = path.open("a", buffering=1)  # line-buffered, so that a killed engine loses no line

    def log(self, line: dict[str, Any]) -> None:
        """Record one log line, an item of the body of POST /logs."""
        self._write({"log": {key: value for key, value in line.items() if not key.startswith("__")}})

    def put(self, item: tuple[str, Event]) -> None:
        """Record a task-run event and drop all others, which mean nothing to another server. Queue interface."""
        _, event = item
        if event.resource.id.startswith("prefect.task-run."):
            self._write({"event": event.model_dump(mode="json")})

    def _write(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(record).replace(*self._ids) + "\n")


def main() -> int:
    """Execute the run. Return exit code 0 if it completed, else 1."""
    work = Path(os.environ[ENV_WORK])
    brief = Brief.from_json((work / BRIEF_FILE).read_text())
    submission = Submission.from_json((work / RUN_FILE).read_text())
    flow: Flow[..., Any] = load_flow_from_entrypoint(submission.entrypoint, use_placeholder_flow=False)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow,
            name=f"attempt-{brief.attempt}",
            parameters=submission.parameters,
            tags=[brief.job_key],
            state=Pending(),
        )
    recorder = Recorder(work / RECORD_FILE, str(run.id), submission.flow_run_id)
    # Prefect's process pools forward a child's logs and events this way; emit_event accepts no custom client.
    set_api_log_sink(recorder.log)
    EventsWorker.set_client_override(ProcessPoolForwardingEventsClient, event_queue=recorder)
    try:
        state = run_flow(flow, flow_run=run, parameters=submission.parameters, return_type="state")
    finally:
        EventsWorker.drain_all(timeout=DRAIN_S)
    assert isinstance(state, State)  # as requested by return_type; the flow is not a coroutine
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())
