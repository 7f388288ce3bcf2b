"""The engine of a detached run, started by node.agent.detached_engine: `python -m spotwave.node.agent.detached_run`.

Executes the node flow against the machine's own Prefect, and writes down what it would have told the controller's: log
lines and the events of its task runs, word for word, but with the controller's id of the run. The controller hands
them on (tasks.machine.mailbox), and its UI shows the attempt as if the machine had spoken to it.
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
    """Appends lines {"log": ...} and {"event": ...}, as the Prefect API takes them, to the record."""

    def __init__(self, path: Path, own_id: str, id_: str) -> None:
        self._ids = own_id, id_
        self._lock = threading.Lock()
        self._file = path.open("a", buffering=1)  # a killed engine loses no line

    def log(self, line: dict[str, Any]) -> None:
        """One line of the body of POST /logs."""
        self._write({"log": {key: value for key, value in line.items() if not key.startswith("__")}})

    def put(self, item: tuple[str, Event]) -> None:
        """As a queue of events: those by which a server knows of task runs. The others are of no use elsewhere."""
        _, event = item
        if event.resource.id.startswith("prefect.task-run."):
            self._write({"event": event.model_dump(mode="json")})

    def _write(self, record: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(record).replace(*self._ids) + "\n")


def main() -> int:
    """Exit code 0 if the run completed."""
    work = Path(os.environ[ENV_WORK])
    brief = Brief.from_json((work / BRIEF_FILE).read_text())
    asked = Submission.from_json((work / RUN_FILE).read_text())
    flow: Flow[..., Any] = load_flow_from_entrypoint(asked.entrypoint, use_placeholder_flow=False)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow, name=f"attempt-{brief.attempt}", parameters=asked.parameters, tags=[brief.job_key], state=Pending()
        )
    recorder = Recorder(work / RECORD_FILE, str(run.id), asked.flow_run_id)
    # The way by which Prefect's process pools hand on what a child says; emit_event knows no client of others.
    set_api_log_sink(recorder.log)
    EventsWorker.set_client_override(ProcessPoolForwardingEventsClient, event_queue=recorder)
    try:
        state = run_flow(flow, flow_run=run, parameters=asked.parameters, return_type="state")
    finally:
        EventsWorker.drain_all(timeout=DRAIN_S)
    assert isinstance(state, State)  # what return_type asks for, of a flow that is no coroutine
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    sys.exit(main())
