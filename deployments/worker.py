"""The controller's worker: the process that executes the stories' flow runs on this computer.

In a session of its own with SIGINT at its default, so that it outlives the command that started it and no
terminal's Ctrl-C reaches it. One per home: the caller holds the home's lock.
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
from spotwave.node.contract import CONTROLLER_POOL

#: Seconds between polls for runs (each is one request to the API), and how logs are printed.
SETTINGS = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    # Of its runs, too: they must outlive it.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS": f"{LastingConsole.__module__}.{LastingConsole.__qualname__}",
}


def name() -> str:
    """The worker's name in the pool: one row per host, also after restarts."""
    return f"controller-{socket.gethostname().split('.')[0].lower()}"


def running(home: Home) -> Note | None:
    """The note on the worker if its process runs."""
    note = Note.read(_note_path(home))
    return note if note is not None and note.process() is not None else None


def ensure(home: Home, api: Api) -> bool:
    """Start the worker unless it runs for this API already. Returns whether it had to be started.

    What a dead worker left behind (its engines) is ended first: a run must never have two engines, and
    `reconcile` gives it a new one.
    """
    note, auth = running(home), api.auth_fingerprint(home)
    if note is not None and (note.url, note.auth) == (api.url, auth):
        return False
    kill(home)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--no-create-pool-if-not-found"]
    command += ["--pool", CONTROLLER_POOL, "--type", "process", "--name", name()]
    environment = api.environment(home) | SETTINGS
    start(command, environment, cwd=home.path, log=log_path(home), url=api.url, auth=auth).write(_note_path(home))
    installation.note(home, "worker")
    return True


def kill(home: Home) -> int:
    """SIGKILL the worker and its engines; returns how many processes there were.

    Crash-only on purpose. SIGTERM would make the engines run their teardown, which terminates the machine of
    a running job; killed, they leave the job to be adopted by `reconcile` at the next `up`.
    """
    note = running(home)
    process = note.process() if note else None
    # By mark, not by descent: the local cloud's machines descend from an engine and must live on.
    serving = server.running(home)
    found = {p.pid: p for p in marked(home.path, machines=False) if serving is None or p.pid != serving.pid}
    if process is not None:
        found[process.pid] = process
    end(list(found.values()), grace_s=0)
    _note_path(home).unlink(missing_ok=True)
    return len(found)


def quoted_log(home: Home) -> str:
    """The worker's last words, for an error message."""
    return f"Last lines of {log_path(home)}:\n{last_lines(log_path(home))}"


def log_path(home: Home) -> Path:
    return home.logs / "controller-worker.log"


def _note_path(home: Home) -> Path:
    return home.run / "controller-worker.json"
