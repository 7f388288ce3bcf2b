"""The controller's worker: the process that executes the jobs' flow runs on this computer.

It runs in its own session with default SIGINT handling, so that it outlives the command that started it and is not
affected by Ctrl-C in the terminal. One per home: the caller holds the home's lock.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from spotwave.deployments import installation, server
from spotwave.deployments.api import Api
from spotwave.deployments.console import LastingConsole
from spotwave.deployments.home import Home
from spotwave.deployments.processes import Note, end, last_lines, marked, start

#: Intervals of polls (each is one request to the API) and heartbeats in seconds, and the log handler.
SETTINGS = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    # Inherited by its runs, which must outlive the worker.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": f"{LastingConsole.__module__}.{LastingConsole.__qualname__}",
}


def name() -> str:
    """Return the worker's name in the pool; it depends on the host only, so that a restart adds no new row."""
    return f"controller-{socket.gethostname().split('.')[0].lower()}"


def running(home: Home) -> Note | None:
    """Return the note of the worker if its process runs, else None."""
    note = Note.read(_note_path(home))
    return note if note is not None and note.process() is not None else None


def ensure(home: Home, api: Api) -> bool:
    """Start the worker unless it runs for this API already; return whether it was started.

    Engines that a terminated worker left behind are ended first: a run must never have two engines, and `reconcile`
    starts a new one.
    """
    note, auth = running(home), api.auth_fingerprint(home)
    if note is not None and (note.url, note.auth) == (api.url, auth):
        return False
    kill(home)
    command = [sys.executable, "-m", "spotwave.deployments.controller", name()]
    environment = api.environment(home) | SETTINGS
    start(command, environment, cwd=home.path, log=log_path(home), url=api.url, auth=auth).write(_note_path(home))
    installation.note(home, "worker")
    return True


def kill(home: Home) -> int:
    """End the worker and its engines with SIGKILL; return the number of processes.

    Crash-only on purpose. After SIGTERM the engines would run their teardown, which terminates the machine of a running
    job. After SIGKILL, `reconcile` adopts the job at the next `up`.
    """
    note = running(home)
    process = note.process() if note else None
    # By the mark, not as child processes: the local cloud's machines are children of an engine and must keep running.
    serving = server.running(home)
    found = {p.pid: p for p in marked(home.path, machines=False) if serving is None or p.pid != serving.pid}
    if process is not None:
        found[process.pid] = process
    end(list(found.values()), grace_s=0)
    _note_path(home).unlink(missing_ok=True)
    return len(found)


def quoted_log(home: Home) -> str:
    """Return the worker's last log lines, for an error message."""
    return f"Last lines of {log_path(home)}:\n{last_lines(log_path(home))}"


def log_path(home: Home) -> Path:
    return home.logs / "controller-worker.log"


def _note_path(home: Home) -> Path:
    return home.run / "controller-worker.json"
