"""The Prefect worker of one attempt, and the engine (flow-run process) it starts."""

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

from node.contract import ENGINE_PID_FILE, MACHINES_POOL, Brief

log = logging.getLogger("agent.worker")

# Polling every second costs the idle server nothing and saves up to ten seconds of a billed machine;
# twelve retries (an hour of back-off) let a run outlive a server that is away.
SETTINGS = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
    "PREFECT_CLIENT_MAX_RETRIES": "12",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


class Worker:
    """Polls the attempt's own queue and nothing else."""

    def __init__(self, brief: Brief, api: Mapping[str, str], work: Path) -> None:
        self.log_path = work / "worker.log"
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", MACHINES_POOL]
        command += ["--work-queue", brief.name, "--name", brief.name, "--type", "process", "--limit", "1"]
        with self.log_path.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=work,
                env={**os.environ, **SETTINGS, **api, "PREFECT_HOME": str(work / "prefect")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def last_lines(self, count: int = 5) -> str:
        """The end of its log, for an error message."""
        lines = self.log_path.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-count:])

    def stop(self) -> None:
        """Only when the engine has ended: a worker told to stop kills its engine outright."""
        for number, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            if not self.alive:
                return
            _signal_group(self._process.pid, number)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                log.warning("worker outlived %s", number.name)


class Engine:
    """The node run's process, known by the pid that it wrote down itself."""

    def __init__(self, work: Path) -> None:
        self._path = work / ENGINE_PID_FILE

    @property
    def pid(self) -> int | None:
        """None before the run has begun."""
        try:
            return int(self._path.read_text())
        except FileNotFoundError:
            return None

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


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
