"""A server that requires basic authentication and CSRF tokens: the proxy provides both, machines have neither."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from websockets.exceptions import ConnectionClosed

from spotwave.deployments.keys import encryption_key
from tests.conftest import Embedded
from tests.deployments.proxy.kit import event_about, eventually, open_attempt, serving, socket_of

AUTH = "controller:its own secret"


@pytest.fixture(scope="module")
def guarded(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run such a server and yield its address; a copy of the embedded database saves the migrations."""
    home = tmp_path_factory.mktemp("guarded")
    with (
        closing(sqlite3.connect(embedded.home.prefect / "prefect.db")) as from_,
        closing(sqlite3.connect(home / "prefect.db")) as to,
    ):
        from_.backup(to)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    environment |= {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_ENCRYPTION_KEY": encryption_key(embedded.home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-services", "--host", "127.0.0.1"]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", port], cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        url = f"http://127.0.0.1:{port}/api"
        try:
            eventually("the guarded server answers", lambda: _healthy(url) or process.poll() is not None, 90)
            assert process.poll() is None, Path(home / "server.log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.thorough
def test_proxy_replaces_token_with_controller_credentials(guarded: str) -> None:
    settings = {PREFECT_API_URL: guarded, PREFECT_API_AUTH_STRING: AUTH, PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(settings), get_client(sync_client=True) as client, serving() as proxy:
        own = open_attempt(client, proxy)
        with own.client() as machine:
            assert machine.get(f"/flow_runs/{own.run_id}").status_code == 200
            state = {"state": {"type": "PENDING", "name": "Pending"}, "force": False}
            # The server requires a CSRF token for changes; the proxy tells the machine that CSRF is disabled.
            assert machine.post(f"/flow_runs/{own.run_id}/set_state", json=state).status_code == 201
            response = machine.get("/csrf-token", params={"client": "x"})
            assert (response.status_code, response.json()) == (422, {"detail": "CSRF protection is disabled."})
        with socket_of(own, "/events/in") as events:
            events.send(json.dumps(event_about("flow-run", own.run_id, own.run_id, "prefect.flow-run.heartbeat")))
            events.ping().wait(30)
        with socket_of(own, "/events/out"):
            pass
        # The server itself does not accept the machine's token.
        own.settings["PREFECT_API_URL"] = guarded
        with own.client() as machine:
            assert machine.get(f"/flow_runs/{own.run_id}").status_code == 401
        with pytest.raises(ConnectionClosed):
            socket_of(own, "/events/in")


@pytest.mark.thorough
def test_proxy_reports_rejected_credentials(guarded: str) -> None:
    right = {PREFECT_API_URL: guarded, PREFECT_API_AUTH_STRING: AUTH}
    with temporary_settings(right), get_client(sync_client=True) as client:
        own = open_attempt(client, "http://127.0.0.1:1")
    wrong = {PREFECT_API_URL: guarded, PREFECT_API_AUTH_STRING: "wrong", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(wrong), serving() as proxy:
        own.settings["PREFECT_API_URL"] = f"{proxy}/api"
        with own.client() as machine:
            # 502, on which a machine's client retries.
            assert machine.get(f"/flow_runs/{own.run_id}").status_code == 502
        with pytest.raises(ConnectionClosed) as closed:
            socket_of(own, "/events/in")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False
