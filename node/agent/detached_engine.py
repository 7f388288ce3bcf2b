"""Start the engine on a machine that cannot reach the controller's Prefect API (detached mode).

The run is read from the remote, and the machine runs its own Prefect server on loopback, with a database that is lost
with the machine. Prefect's ephemeral mode would start the same server as a child of the engine. Started here, it is up
(14 s, mostly migrations; 310 MB) by the time the checkpoint is restored and the run has arrived.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from spotwave.node.agent.engine import SETTINGS, stop_group, tail
from spotwave.node.agent.engine_exit import exit_before_start
from spotwave.node.contract import (
    ENGINE_LOG,
    RUN_FILE,
    Brief,
    Outcome,
    Submission,
    write_text,
)
from spotwave.node.runtime.shortage import OomCounter
from spotwave.node.storage.remote import Remote, RemoteError

log = logging.getLogger("agent.detached")

POLL_S = 3.0  # between two checks for the run; calls to a remote cost money
UP_S = 300.0  # time limit for the server's start

_SERVER = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
}


class OwnPrefect:
    """A Prefect server for the exclusive use of this machine."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._log = work / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._auth = f"machine:{secrets.token_urlsafe(32)}"  # other users may share the computer
        self.url = ""

    def start(self) -> None:
        """Start the server without waiting until it is up."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        # No services: its only client is the run, and nothing is scheduled on it.
        command = [
            sys.executable,
            "-m",
            "spotwave.node.agent.prefect_server",
            "server",
            "start",
            "--no-services",
            "--port",
            str(port),
        ]
        asked = {"PREFECT_SERVER_API_AUTH_STRING": self._auth, "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self.url}
        self._process = _spawn(command, self._work, self._log, {**self.environment, **asked})

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables of the server and its clients."""
        direct = ",".join(filter(None, (os.environ.get("no_proxy"), "127.0.0.1")))
        return _SERVER | {
            "PREFECT_HOME": str(self._work / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": self._auth,
            "no_proxy": direct,
            "NO_PROXY": direct,
        }

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_up(self, stopped: threading.Event) -> bool:
        """Return whether the server is up; False if it is not within `UP_S` or `stopped` is set first."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(int(UP_S / 0.2)):
            try:
                with opener.open(f"{self.url}/health", timeout=5):
                    return True
            except OSError:
                if not self.alive or stopped.wait(0.2):
                    return False
        return False

    def last_lines(self) -> str:
        return tail(self._log)

    def stop(self) -> None:
        if self._process is not None:
            stop_group(self._process)


class DetachedStarter:
    """Starts the engine of the run that the controller has written to the remote."""

    def __init__(self, brief: Brief, remote: Remote, work: Path) -> None:
        self._path = f"{brief.folder}/{RUN_FILE}"
        self._remote = remote
        self._work = work
        self._prefect = OwnPrefect(work)
        self._engine: subprocess.Popen[bytes] | None = None
        self._oom = OomCounter()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._begin, name="detached", daemon=True)

    def prepare(self) -> None:
        self._prefect.start()

    def start(self) -> None:
        self._thread.start()

    def stays_up(self) -> bool:
        if self._engine is not None:
            return self._engine.poll() is None
        return self._prefect.alive and self._thread.is_alive()

    def last_lines(self) -> str:
        return tail(self._work / ENGINE_LOG) if self._engine is not None else self._prefect.last_lines()

    def engines_end(self) -> Outcome | None:
        code = self._engine.poll() if self._engine is not None else None
        return exit_before_start(code, self._oom, self._work / ENGINE_LOG) if code is not None else None

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)
        if self._engine is not None:
            stop_group(self._engine)
        self._prefect.stop()

    def _begin(self) -> None:
        submission = self._submission()
        if submission is None or not self._prefect.wait_until_up(self._stopped) or self._stopped.is_set():
            return
        log.info("run %s: %s", submission.flow_run_id, submission.entrypoint)
        command = [sys.executable, "-m", "spotwave.node.agent.detached_run"]
        environment = {**SETTINGS, **self._prefect.environment}
        self._engine = _spawn(command, self._work, self._work / ENGINE_LOG, environment)

    def _submission(self) -> Submission | None:
        """Wait for the submission and store it in the work folder for the engine; None if stopped before."""
        while not self._stopped.is_set():
            try:
                content = self._remote.read(self._path)
            except RemoteError as error:
                log.warning("could not check the remote for the run: %s", error)
                content = None
            if content is not None:
                try:
                    submission = Submission.from_json(content)
                except ValueError as error:  # some backends show a file that is still being written
                    log.warning("the submission of the run cannot be read: %s", error)
                else:
                    write_text(self._work / RUN_FILE, submission.to_json())
                    return submission
            self._stopped.wait(POLL_S)
        return None


def _spawn(command: list[str], work: Path, output: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a child process in its own session, and so its own process group."""
    with output.open("ab") as stream:
        return subprocess.Popen(
            command,
            cwd=work,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
