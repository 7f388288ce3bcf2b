"""`spotwave check` reports whether the Prefect API in use requires a password."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from spotwave.deployments.api import Api
from spotwave.deployments.check import server_findings


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Serve this status for every POST: Prefect answers 200 without an auth string, and 401 with one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "ok", "said"), [(200, None, "requires none"), (401, True, "requires one")])
def test_server_without_password_gives_warning(status: int, ok: bool | None, said: str) -> None:
    with answering(status) as url:
        ((document, finding),) = server_findings(Api(url, embedded=False))
    assert (document, finding.what, finding.ok) == ("Prefect API", "password", ok)
    assert said in finding.said
    assert ("PREFECT_SERVER_API_AUTH_STRING" in finding.said) == (ok is None)


def test_unreachable_server_gives_unknown() -> None:
    ((_, finding),) = server_findings(Api("http://127.0.0.1:9/api", embedded=False))
    assert finding.ok is None
    assert "no answer from" in finding.said
