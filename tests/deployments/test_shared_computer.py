"""`up`, a job and `down` on a shared computer: a temporary folder shared by all users, and an HTTP proxy for the
internet that cannot reach this computer.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from spotwave.blocks.registry import WINGS
from spotwave.deployments.home import Home
from tests.conftest import Embedded, brought_up

pytestmark = [pytest.mark.thorough, pytest.mark.slow]


@dataclass
class Shared:
    """The embedded server on such a computer."""

    up: Embedded
    asked: list[str]  #: requests to the proxy
    temporary: Path  #: the folder for temporary files that all users share

    def spotwave(self, *arguments: str) -> tuple[int, str]:
        done = self.up.spotwave(*arguments)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    temporary = tmp_path_factory.mktemp("everybodys")
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = do_GET

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.server_port}"
        settings = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), proxy)
        settings |= {"NO_PROXY": "", "no_proxy": "", "ALL_PROXY": "socks://127.0.0.1:1080", "TMPDIR": str(temporary)}
        with brought_up(Home(tmp_path_factory.mktemp("home").resolve()), sys.executable, True, **settings) as up:
            yield Shared(up, asked, temporary)
        server.shutdown()


def test_job_on_shared_computer(shared: Shared, tmp_path: Path) -> None:
    code, output = shared.spotwave("run", "shci/water-dimer", "-p", "basis=sto-3g")
    assert code == 0, output
    assert "total energy" in output
    assert [one for one in shared.asked if "127.0.0.1" in one or "localhost" in one] == []
    assert list(shared.temporary.iterdir()) == [], "temporary files are below the home"


def test_incomplete_home_on_shared_computer(shared: Shared) -> None:
    """The state after an `up` that was killed before it registered the blocks: `down` (at the end) works too."""
    with shared.up.api.in_use(shared.up.home), get_client(sync_client=True) as client:
        for slug in (*(slug for slug, _, _ in WINGS.values()), "rclone-remote", "prefect-access"):
            client.delete_block_type(client.read_block_type_by_slug(slug).id)
    assert shared.spotwave("ls") == (0, "no machines\n")
    code, output = shared.spotwave("check")
    assert (code, "password" in output) == (0, True)
