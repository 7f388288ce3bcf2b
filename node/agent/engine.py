"""Who starts the attempt's engine (flow-run process), and the engine."""

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

from spotwave.node.contract import ENGINE_PID_FILE, MACHINES_POOL, Brief, Outcome
from spotwave.node.untrusted.own_files import read_regular

log = logging.getLogger("agent.worker")

# Polling every two seconds saves up to eight of a billed machine; every poll costs the server a request and two writes.
# What is due is asked for by this machine's own clock: where that is late, it must not wait until the run is due by it
# too. Twelve retries (an hour of back-off) let a run outlive a server that is away.
SETTINGS = {
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_WORKER_PREFETCH_SECONDS": "3600",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    "PREFECT_CLIENT_MAX_RETRIES": "12",
    # What a server says whose database is busy; one of them would crash the run that a machine was rented for.
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}

MOST_STARTS = 4  # each takes some ten seconds to find that there is no API


class Starter(Protocol):
    """Waits for the attempt's run, and starts its engine."""

    def prepare(self) -> None:
        """Whatever takes time and needs no checkpoint."""

    def start(self) -> None:
        """From now on a run may begin."""

    def stays_up(self) -> bool:
        """Whether a run may still begin."""

    def last_lines(self) -> str:
        """What it said last, for an error message."""

    def engines_end(self) -> Outcome | None:
        """How an engine ended that ended before it was at work; None where nobody here can tell."""

    def stop(self) -> None:
        """Only when the engine has ended. Safe to repeat."""


class Worker:
    """A Prefect worker that polls the attempt's own queue and nothing else."""

    def __init__(self, brief: Brief, api: Mapping[str, str], work: Path) -> None:
        self._brief, self._api, self._work = brief, api, work
        self._log = work / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def prepare(self) -> None:
        """Nothing: started now, it could begin a run before the checkpoint is there."""

    def start(self) -> None:
        self._starts += 1
        name, work = self._brief.name, self._work
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", MACHINES_POOL]
        command += ["--work-queue", name, "--name", name, "--type", "process", "--limit", "1"]
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
        """A worker that has ended is started again, a few times: it does not come up while the API is away."""
        if self._process is not None and self._process.poll() is None:
            return True
        if self._starts >= MOST_STARTS:
            return False
        log.warning("the worker has ended, and is started again: %s", self.last_lines())
        self.start()
        return True

    def last_lines(self) -> str:
        return tail(self._log)

    def engines_end(self) -> Outcome | None:
        """The worker starts it, and tells its end to Prefect."""
        return None

    def stop(self) -> None:
        """A worker told to stop kills its engine outright: only when that has ended."""
        if self._process is not None:
            stop_group(self._process)


class Engine:
    """The node run's process, known by the pid that it wrote down itself."""

    def __init__(self, work: Path) -> None:
        self._path = work / ENGINE_PID_FILE
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """None before the run has begun. Read once: whom we signal is not for a program to say that writes there."""
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
        """Ask for a checkpoint: SIGTERM to the engine alone, whose flow catches it and ends its solver."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        if (pid := self.pid) is not None:
            _signal_group(pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """True once it has ended, False when the time is over."""
        limit = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() >= limit:
                return False
            time.sleep(0.1)  # another process's child: there is no event to wait on
        return True


def process_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped does not."""
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
    """The end of a log in one line."""
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
            log.warning("process %d outlived %s", process.pid, number.name)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
