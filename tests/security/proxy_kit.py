"""The proxy in front of a minimal API with a lease and a run, and clients that only hold connections."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid4

import httpx
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from spotwave.blocks.access import basic
from spotwave.blocks.attempt_token import USER, AttemptToken
from spotwave.deployments.proxy.places import Limits
from spotwave.node.contract import MACHINES_POOL
from tests.deployments.proxy.kit import KEY, new_job_key, serving

LEASE = uuid4()
FLOW = UUID(int=1)
LONG_ANSWER = "x" * 1_000_000  # response to reading the flow


class _Api(BaseHTTPRequestHandler):
    """Answers as Prefect does for a lease and a run; its flow is a long text."""

    protocol_version = "HTTP/1.1"
    job = ""

    def do_GET(self) -> None:
        known = {
            f"/api/artifacts/{LEASE}": {"id": str(LEASE), "key": f"lease-{self.job}-1"},
            f"/api/flows/{FLOW}": LONG_ANSWER,
            "/api/flow_runs/filter": [
                dict.fromkeys(("id", "deployment_id", "work_queue_id"), str(uuid4()))
                | {
                    "flow_id": str(FLOW),
                    "tags": [],
                    "work_pool_name": MACHINES_POOL,
                    "work_queue_name": f"{self.job}-1",
                }
            ],
        }
        body = json.dumps(known.get(self.path)).encode()
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        return


@dataclass
class Guarded:
    """A proxy, and a valid token."""

    url: str
    job_key: str
    opened: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    @property
    def auth(self) -> str:
        token = AttemptToken(self.job_key, 1, LEASE, int(time.time()) + 600)
        return f"{USER}:{token.signed(KEY)}"

    def connect(self, data: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        """Open a connection that sends only this; it is closed at the end of the test."""
        found = socket.create_connection(("127.0.0.1", self.port), 10, (address, 0))
        self.opened.append(found)
        found.sendall(data)
        return found

    def ended(self, one: socket.socket, within_s: float) -> bool:
        """Return whether the proxy ends the connection within this time."""
        one.settimeout(within_s)
        try:
            while one.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def asked(self, verify: ssl.SSLContext | bool = True) -> int:
        """Read the machine's flow on a new connection, and return the status of the response."""
        answer = httpx.get(
            f"{self.url}/api/flows/{FLOW}",
            headers={"Authorization": basic(self.auth)},
            timeout=30,
            verify=verify,
            trust_env=False,
        )
        return answer.status_code


@contextmanager
def guarded(limits: Limits, cert: Path | None = None, key: Path | None = None) -> Iterator[Guarded]:
    job_key = new_job_key()
    handler = type("Api", (_Api,), {"job": job_key})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as api, ExitStack() as left:
        api.daemon_threads = True
        Thread(target=api.serve_forever, daemon=True).start()
        left.callback(api.shutdown)
        url = f"http://127.0.0.1:{api.server_address[1]}/api"
        left.enter_context(temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}))
        found = Guarded(left.enter_context(serving(limits=limits, cert=cert, cert_key=key)), job_key)
        try:
            yield found
        finally:
            for one in found.opened:
                one.close()
