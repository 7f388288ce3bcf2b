"""The attempt's engine (flow-run process) and the worker that starts it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from spotwave.node.contract import ENGINE_PID_FILE, Brief, Outcome
from spotwave.node.untrusted.own_files import read_regular

log = logging.getLogger("agent.worker")

# Query: polling every two seconds saves up to eight seconds of a billed machine; each poll costs the server a request
# and two writes. Prefetch: the worker asks for due runs by this machine's clock; if that clock is slow, the run must
# not wait until it is due by it. Retries: twelve (an hour of back-off) let a run outlive an outage of the server.
SETTINGS = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_WORKER_PREFETCH_SECONDS": "3600",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    "PREFECT_CLIENT_MAX_RETRIES": "12",
    # A server with a busy database answers 500. A single one would otherwise crash the run.
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}

MOST_STARTS = 4  # each takes about ten seconds to detect that no API answers


class Starter(Protocol):
    """Waits for the attempt's run and starts its engine."""

    def prepare(self) -> None:
        """Do the slow preparations that need no checkpoint."""

    def start(self) -> None:
        """Start waiting for the run. The checkpoint must be restored before."""

    def stays_up(self) -> bool:
        """Return whether a run can still begin."""

    def last_lines(self) -> str:
        """Return the last lines of the log, for an error message."""

    def engines_end(self) -> Outcome | None:
        """Return the outcome of an engine that ended before it wrote its pid; None if unknown."""

    def stop(self) -> None:
        """Stop. Call it only after the engine has ended. Safe to repeat."""


class Worker:
    """A Prefect worker that polls only the attempt's own work queue."""

    def __init__(self, brief: Brief, api: Mapping[str, str], work: Path) -> None:
        self._brief, self._api, self._work = brief, api, work
        self._log = work / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def prepare(self) -> None:
        """Do nothing: a worker started now could begin a run before the checkpoint is restored."""

    def start(self) -> None:
        self._starts += 1
        name, work = self._brief.name, self._work
        command = [sys.executable, "-m", "spotwave.node.agent.attempt_worker", name]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=work,
                env={**os.environ, **SETTINGS, **self._api, "PREFECT_HOME": str(work / "prefect")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stays_up(self) -> bool:
        """Restart a worker that has ended, a few times: it cannot start while the API is unreachable."""
        if self._process is not None and self._process.poll() is None:
            return True
        if self._starts >= MOST_STARTS:
            return False
        log.warning("the worker has ended and is restarted: %s", self.last_lines())
        self.start()
        return True

    def last_lines(self) -> str:
        return tail(self._log)

    def engines_end(self) -> Outcome | None:
        """Return None: the worker starts the engine and reports its end to Prefect itself."""
        return None

    def stop(self) -> None:
        """Stop the worker, after the engine has ended: a stopping worker kills its engine at once."""
        if self._process is not None:
            stop_group(self._process)


class Engine:
    """The node run's process, identified by the pid file that it writes."""

    def __init__(self, work: Path) -> None:
        self._path = work / ENGINE_PID_FILE
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the engine; None before the run has begun.

        The file is read only once: a program can overwrite it later and must not decide which process is signalled.
        """
        if self._pid is None:
            with contextlib.suppress(OSError, ValueError):
                pid = int(read_regular(self._path))
                self._pid = pid if pid > 1 else None
        return self._pid

    @property
    def started(self) -> bool:
        return self.pid is not None

    @property
    def alive(self) -> bool:
        pid = self.pid
        return pid is not None and process_alive(pid)

    def terminate(self) -> None:
        """Send SIGTERM to the engine alone. The flow catches it, ends its solver and saves a checkpoint."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        if (pid := self.pid) is not None:
            _signal_group(pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`. Return True once the engine has ended, False on timeout."""
        limit = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() >= limit:
                return False
            time.sleep(0.1)  # not a child of this process, so waitpid cannot be used
        return True


def process_alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not count as running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return sys.platform != "linux"
    return stat.rpartition(")")[2].split()[0] != "Z"


def tail(path: Path, count: int = 5) -> str:
    """Return the last `count` lines of a log, joined into one line."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return " | ".join(lines[-count:])


def stop_group(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """End a child and its process group: SIGTERM, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        _signal_group(process.pid, number)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            log.warning("process %d did not end after %s", process.pid, number.name)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
