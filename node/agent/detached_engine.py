"""Work without a Prefect API within reach: the run comes from the remote, and the machine has a Prefect of its own.

That is a server on the machine's loopback, with a database that goes with the machine. Prefect's ephemeral mode would
be the same server as the engine's child; started here instead, it is up (14 s, mostly migrations; 310 MB) by the time
that the checkpoint is restored and the run has come.
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

POLL_S = 3.0  # between two looks for the run; a remote's calls cost
UP_S = 300.0  # a server that is not up by then never will be

_SERVER = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
}


class OwnPrefect:
    """A Prefect server for this machine alone."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._log = work / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._auth = f"machine:{secrets.token_urlsafe(32)}"  # the machine may be a computer that others use too
        self.url = ""

    def start(self) -> None:
        """Returns at once."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        # No services: the run alone speaks to it, and nothing in it is scheduled.
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
        """Of the server and of whoever speaks to it."""
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
        """False if it is not up within `UP_S`, or `stopped` came first."""
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
        """What to run, when it has come; None if stopped before. It stays in the machine's folder for the engine."""
        while not self._stopped.is_set():
            try:
                told = self._remote.read(self._path)
            except RemoteError as error:
                log.warning("no look for the run: %s", error)
                told = None
            if told is not None:
                try:
                    submission = Submission.from_json(told)
                except ValueError as error:  # half of it, as some backends show a file that is being written
                    log.warning("what is to be run cannot be read: %s", error)
                else:
                    write_text(self._work / RUN_FILE, submission.to_json())
                    return submission
            self._stopped.wait(POLL_S)
        return None


def _spawn(command: list[str], work: Path, output: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A child in a process group of its own."""
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
