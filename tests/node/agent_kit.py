"""Fixtures that run a real agent, worker and rclone against an API with one lease.

The API answers requests for the lease as Prefect does, and all others with 503, which a worker tolerates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from spotwave.blocks.rclone import rclone_binary
from spotwave.node.contract import (
    BRIEF_FILE,
    ENV_NOTICE,
    ENV_RCLONE,
    ENV_SECRETS,
    ENV_WORK,
    SECRET_API,
    Brief,
    Lease,
    Outcome,
)
from tests.processes import kill_with_children

T = TypeVar("T")

LEASE_ID = "5b0c1f6e-0000-4000-8000-000000000001"


@dataclass
class Api:
    """Leases received from the agent, and switches: the lease is deleted, the API is down."""

    url: str
    leases: list[Lease] = field(default_factory=list)
    fenced: bool = False
    away: bool = False


@pytest.fixture
def api() -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = self.path == f"/api/artifacts/{LEASE_ID}" and not found.fenced
            if known and not found.away:
                lease = Lease.from_metadata(body["metadata_"])
                assert lease is not None
                found.leases.append(lease)
            self.send_response(503 if found.away else 204 if known else 404)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Api(f"http://127.0.0.1:{server.server_port}/api")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@dataclass
class Running:
    """A running agent."""

    process: subprocess.Popen[bytes]
    work: Path
    remote: Path

    def ended(self, within_s: float = 60) -> None:
        assert self.process.wait(within_s) == 0, (self.work / "console.log").read_text()

    @property
    def outcome(self) -> Outcome:
        return Outcome.from_json((self.remote / "attempts/1/outcome.json").read_text())


Start = Callable[..., Running]


@pytest.fixture
def agent(api: Api, tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def start(cloud: dict[str, str] | None = None, url: str = api.url, **brief: Any) -> Running:
        work, secrets, remote = (tmp_path / name for name in ("work", "secrets", "remote"))
        for folder in (work, secrets):
            folder.mkdir()
        (secrets / SECRET_API).write_text(json.dumps({"PREFECT_API_URL": url}))
        fields = {"deadline": time.time() + 600, "lease_s": 0.5, "sync_s": 300.0} | brief
        Brief("sw-alone", 1, str(remote), LEASE_ID, 1, 1.0, **fields).write(work / BRIEF_FILE)
        environment = {
            **os.environ,
            ENV_WORK: str(work),
            ENV_SECRETS: str(secrets),
            ENV_RCLONE: rclone_binary(),
            ENV_NOTICE: str(tmp_path / "notice.json"),
            **(cloud or {}),
        }
        with (work / "console.log").open("wb") as console:
            process = subprocess.Popen(
                [sys.executable, "-m", "spotwave.node.agent"], env=environment, stdout=console, stderr=console
            )
        started.append(Running(process, work, remote))
        return started[-1]

    yield start
    for one in started:
        kill_with_children(one.process)


def until(look: Callable[[], T | None], within_s: float = 30) -> T:
    limit = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < limit
        time.sleep(0.05)
    return found
