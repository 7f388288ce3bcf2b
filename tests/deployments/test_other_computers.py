"""Situations on users' computers: an HTTP proxy, another user's folders, no HOME, a Prefect server with a password."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import getproxies_environment, proxy_bypass_environment

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL, temporary_settings

from spotwave.blocks.endpoints import past_proxies
from spotwave.deployments import start
from spotwave.deployments.api import Api, base_environment
from spotwave.deployments.home import Home, HomeUnusable
from spotwave.deployments.proxies import usable
from spotwave.deployments.unavailable import Unavailable
from tests.another_user import NAMELESS, as_root, as_user
from tests.conftest import processes_of, run_spotwave

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def guarded() -> Iterator[str]:
    """Serve a Prefect API with a password that answers as 3.9.1: 200 for its health, else 401."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            healthy = self.path.endswith("/health")
            self.send_response(200 if healthy else 401)
            self.end_headers()
            self.wfile.write(b"true" if healthy else b'{"exception_message":"Unauthorized"}')

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.fixture
def fresh() -> Iterator[str]:
    """Serve a Prefect API without block types: 3.9.1 answers 404 for the blocks of an unknown type."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"detail": "Block type not found"}' if "/block_types/slug/" in self.path else b"true"
            self.send_response(200 if body == b"true" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize("command", ["ls", "down"])
def test_incomplete_home_is_handled(command: str, fresh: str, tmp_path: Path) -> None:
    """The state after an `up` that was killed before it registered the blocks."""
    done = run_spotwave(Home(tmp_path.resolve()), command, PREFECT_API_URL=fresh)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("no machines\n" if command == "ls" else "")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("own", [{}, {"no_proxy": "intern.example"}, {"NO_PROXY": "intern.example"}])
def test_proxies_are_bypassed_for_this_computer(
    name: str, own: dict[str, str], monkeypatch: pytest.MonkeyPatch, guarded: str
) -> None:
    for variable in [one for one in os.environ if one.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    for variable, value in ({name: DEAD} | own).items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{guarded}/health")
    for variable, value in past_proxies(os.environ).items():
        monkeypatch.setenv(variable, value)
    assert httpx.get(f"{guarded}/health").is_success
    assert httpx.get(f"{guarded.replace('127.0.0.1', 'localhost')}/health").is_success
    proxies = getproxies_environment()
    assert proxy_bypass_environment("127.0.0.1:4200", proxies)  # as the package websockets checks it
    assert proxy_bypass_environment("a.intern.example", proxies) == bool(own)
    assert not proxy_bypass_environment("prices.example.org", proxies)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]


def test_nothing_is_set_without_a_proxy() -> None:
    assert past_proxies({"PATH": "/bin", "HTTP_PROXY": ""}) == {}
    assert past_proxies({"HTTP_PROXY": DEAD, "NO_PROXY": "*"}) == {"NO_PROXY": "*", "no_proxy": "*"}


@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize("scheme", ["socks5", "socks", "ftp"])
def test_unsupported_proxy_is_reported_without_password(name: str, scheme: str) -> None:
    with pytest.raises(Unavailable, match=f"^{name}: '{scheme}' proxies are not supported") as caught:
        usable({name: f"{scheme}://user:secret@127.0.0.1:1080"})
    assert "secret" not in str(caught.value)


def test_socks_proxy_is_dropped_if_http_proxies_are_set() -> None:
    found = usable({"HTTP_PROXY": DEAD, "https_proxy": "proxy.example:3128", "all_proxy": "socks://127.0.0.1:1080"})
    assert "all_proxy" not in found
    assert found["https_proxy"] == "proxy.example:3128"


def test_certificate_files_are_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", "own.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "own.pem")
    (tmp_path / "own.pem").touch()
    found = base_environment()
    assert found["AWS_CA_BUNDLE"] == found["SSL_CERT_FILE"] == str(tmp_path / "own.pem")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "PREFECT_API_SSL_CERT_FILE"])
def test_missing_certificate_files_are_reported(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guarded: str
) -> None:
    """Prefect's client reads them even without TLS, and raises an exception."""
    monkeypatch.setenv(name, "gone.pem")
    in_use = Api(guarded, embedded=False).in_use(Home(tmp_path))
    with pytest.raises(Unavailable, match=rf"^{name}: the file /.*gone\.pem does not exist\. "), in_use:
        get_client(sync_client=True)


def test_environment_is_restored_after_a_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guarded: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    before = dict(os.environ)
    with Api(guarded, embedded=False).in_use(Home(tmp_path)):
        assert "127.0.0.1" in os.environ["NO_PROXY"]
        os.environ["SET_MEANWHILE"] = "stays"
    assert os.environ.pop("SET_MEANWHILE") == "stays"
    assert dict(os.environ) == before


@pytest.mark.parametrize("command", ["up", "ls", "check", "down"])
def test_server_that_requires_password_gives_one_line(command: str, guarded: str, tmp_path: Path) -> None:
    """Also with a proxy set, which is bypassed for this server."""
    home = Home(tmp_path.resolve())
    done = run_spotwave(home, command, PREFECT_API_URL=guarded, HTTP_PROXY=DEAD)
    said = (done.stdout if command == "down" else done.stderr).strip()
    assert f"The configured Prefect API {guarded} requires credentials, and none are set" in said, done.stderr
    assert "PREFECT_API_AUTH_STRING" in said
    assert len(said.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if command == "down" else 1)  # the local processes were ended
    assert processes_of(home) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({PREFECT_API_KEY: "pnu_guessed"}, "does not accept PREFECT_API_KEY"),
        ({PREFECT_API_AUTH_STRING: "me:guessed"}, "does not accept PREFECT_API_AUTH_STRING"),
    ],
)
def test_rejected_credentials_are_named_but_not_shown(
    settings: dict[Any, str], said: str, guarded: str, tmp_path: Path
) -> None:
    nothing: dict[Any, Any] = {PREFECT_API_URL: guarded, PREFECT_API_KEY: None, PREFECT_API_AUTH_STRING: None}
    with (
        temporary_settings({**nothing, **settings}),
        pytest.raises(Unavailable, match=said) as caught,
        Api(guarded, embedded=False).in_use(Home(tmp_path)),
        get_client(sync_client=True) as client,
    ):
        client.read_work_pools()
    assert "guessed" not in str(caught.value)


@as_root
def test_command_without_home_prints_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")

    def started() -> str:
        try:
            start.main()
        except SystemExit as ended:
            return str(ended.code)
        return "it went on"

    said = as_user(started, NAMELESS)
    assert said.startswith(f"spotwave: HOME: not set, and user id {NAMELESS} is unknown on this computer")
    assert "\n" not in said


def test_installed_command_checks_home_first() -> None:
    code = "import sys; from spotwave.deployments import start; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@as_root
def test_home_of_another_user_is_not_accessed(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, NAMELESS, NAMELESS)
    with pytest.raises(HomeUnusable, match=f"SPOTWAVE_HOME: {folder} belongs to another user"):
        Home(folder).check_owner()

    def made() -> str:
        try:
            Home(Path("/root-has-made-this/home")).create()
        except HomeUnusable as refused:
            return str(refused)
        return "it was made"

    assert as_user(made).startswith(
        "SPOTWAVE_HOME: /root-has-made-this cannot be created or used (Permission denied). Set"
    )


def test_home_that_cannot_be_created_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = r"^SPOTWAVE_HOME: .*/file.* cannot be created or used \(.*\)\. Set SPOTWAVE_HOME"
    with pytest.raises(HomeUnusable, match=message):
        Home(tmp_path / "file/home").create()
    Home(tmp_path / "nothing yet").check_owner()
