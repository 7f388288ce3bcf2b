"""`spotwave check` says whether the Prefect API that is used asks for a password."""

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
    """A server that answers every POST so: Prefect's without an auth string says 200, with one 401."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "ok", "said"), [(200, None, "asks for none"), (401, True, "asks for one")])
def test_a_server_without_a_password_is_a_warning(status: int, ok: bool | None, said: str) -> None:
    with answering(status) as url:
        ((document, finding),) = server_findings(Api(url, embedded=False))
    assert (document, finding.what, finding.ok) == ("Prefect API", "password", ok)
    assert said in finding.said
    assert ("PREFECT_SERVER_API_AUTH_STRING" in finding.said) == (ok is None)


def test_one_that_does_not_answer_is_no_verdict() -> None:
    ((_, finding),) = server_findings(Api("http://127.0.0.1:9/api", embedded=False))
    assert finding.ok is None
    assert "could not be asked" in finding.said
