"""Follow a flow run in the terminal: its log lines as they arrive, and a progress bar below.

Polls the API once a second instead of using Prefect's event and log streams: with SQLite, a server that Spotwave did
not start counts each open stream as one of its hundred concurrent requests (node/agent/prefect_server.py).
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun, Log
from prefect.client.schemas.sorting import ArtifactSort, LogSort
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from spotwave.node.untrusted.plain_text import TEXT_CHARS, from_markdown, plain

PROGRESS_KEY = "progress"
_POLL_S = 1.0
_SILENCE_S = 120.0  # stop following if the API has not answered for so long
_LATE = timedelta(seconds=20)  # log lines reach the API in batches and therefore out of order
_PAGE = 200
_TASKS = "prefect.task_runs"
_RUNS = "prefect.flow_runs"
_FINISHED = "Finished in state"  # how Prefect's engines log the end of a run (3.8: task_engine.py, flow_engine.py)
_LAST_LINES_S = 4.0  # a crashed run never logs its closing line


class ApiSilent(Exception):
    """The API has not answered for too long; the run itself continues."""


class LogTail:
    """The log of one run: each line once, sorted by time among the lines that have arrived."""

    def __init__(self, flow_run_id: UUID) -> None:
        self._run = LogFilterFlowRunId(any_=[flow_run_id])
        self._seen: set[UUID] = set()
        self.complete = False  #: whether Prefect's closing line of the run has arrived
        self._since: LogFilterTimestamp | None = None

    def fresh(self, client: SyncPrefectClient) -> list[Log]:
        """Return the lines that have arrived since the last call."""
        lines: list[Log] = []
        offset = 0
        while True:
            wanted = LogFilter(flow_run_id=self._run, timestamp=self._since)
            page = client.read_logs(wanted, limit=_PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
            lines += [line for line in page if line.id not in self._seen]
            offset += len(page)
            if len(page) < _PAGE:
                break
        self._seen.update(line.id for line in lines if line.id is not None)
        if lines:
            self.complete |= any(line.name == _RUNS and _is_prefects_end(line) for line in lines)
            self._since = LogFilterTimestamp(after_=max(line.timestamp for line in lines) - _LATE)
        return lines


def follow(client: SyncPrefectClient, flow_run_id: UUID, console: Console) -> FlowRun:
    """Print the run's log and progress until it ends; return the run in its final state.

    Raises ApiSilent if the API does not answer for two minutes; KeyboardInterrupt passes through.
    """
    tail = LogTail(flow_run_id)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("waiting", total=100)
        answered = time.monotonic()
        while True:
            try:
                run = client.read_flow_run(flow_run_id)
                _print(console, tail.fresh(client))
                percent, doing = _progress(client, flow_run_id)
                bar.update(task, description=doing or _state_name(run), completed=percent)
                answered = time.monotonic()
                if run.state is not None and run.state.is_final():
                    break
            except httpx.HTTPError as error:
                if time.monotonic() - answered > _SILENCE_S:
                    raise ApiSilent(str(error) or type(error).__name__) from error
                bar.update(task, description="no answer from the API")
            time.sleep(_POLL_S)
    # The final state arrives before the last batch of lines, which the run sends as it exits.
    deadline = time.monotonic() + _LAST_LINES_S
    while not tail.complete and time.monotonic() < deadline:
        time.sleep(_POLL_S / 4)
        _print(console, tail.fresh(client))
    return run


def _print(console: Console, lines: list[Log]) -> None:
    for line in lines:
        if line.name == _TASKS and _is_prefects_end(line, "Completed()"):
            continue  # the line does not name the task
        clock = line.timestamp.astimezone().strftime("%H:%M:%S")
        level = "" if line.level == logging.INFO else f"{logging.getLevelName(line.level)} "
        # A machine with direct access to the API can write any text.
        message = plain(line.message, TEXT_CHARS, lines=True)
        console.print(f"{clock} {level}{message}", markup=False, highlight=False, soft_wrap=True)


def _is_prefects_end(line: Log, state: str = "") -> bool:
    """Return whether this is Prefect's closing line of a run, in this state or any; only its text tells."""
    return line.message == f"{_FINISHED} {state}" if state else line.message.startswith(_FINISHED)


def _state_name(run: FlowRun) -> str:
    return ((run.state.name if run.state else None) or "scheduled").lower()


def _progress(client: SyncPrefectClient, flow_run_id: UUID) -> tuple[float, str]:
    """Return percent and description of the run's newest progress artifact; (0, "") if there is none."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=[PROGRESS_KEY])
    )
    newest = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=1)
    if not newest or not isinstance(newest[0].data, (int, float)):
        return 0.0, ""
    # The bar's columns interpret markup.
    return float(newest[0].data), escape(plain(from_markdown(newest[0].description or "")))
