"""The embedded server behind a real nginx that does TLS with a certificate of a private authority.

A machine reaches it with its settings by HTTP and websockets; other clients do not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from pydantic import SecretStr, ValidationError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from spotwave.blocks import tls as trust
from spotwave.blocks.access import PrefectAccess, basic
from spotwave.blocks.rclone import write_secrets
from spotwave.deployments.keys import auth_string
from spotwave.node.agent import api_settings as machine_side
from spotwave.node.agent.api_settings import api_settings, trusted
from spotwave.node.agent.engine import Worker
from spotwave.node.agent.lease import LeaseClient
from spotwave.node.contract import MACHINES_POOL, Brief, Lease, Phase
from tests.conftest import Embedded
from tests.deployments.proxy.kit import KEY, event_about, events_known, eventually, open_attempt, open_lease, serving
from tests.security.tls_kit import Authority, authority, behind_nginx, context

TINY = """
from prefect import flow, task
from prefect.logging import get_run_logger

@task
def step() -> int:
    get_run_logger().info("told from behind TLS")
    return 7

@flow
def tiny() -> int:
    return step()
"""


@dataclass(frozen=True)
class Line:
    """A server with an nginx in front of it."""

    server: str  #: address with plain HTTP on the loopback interface, without /api
    url: str  #: address for machines
    auth: str  #: the server's auth string
    own: Authority

    def access(self, **changes: Any) -> PrefectAccess:
        fields: dict[str, Any] = {"api_url": f"{self.url}/api", "auth_string": SecretStr(self.auth), "ca": self.own.pem}
        return PrefectAccess(**{**fields, **changes})


@pytest.fixture(scope="module")
def line(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("tls")
    own = authority(folder / "own")
    server = embedded.api.url.removesuffix("/api")
    with behind_nginx(server, own) as url:
        yield Line(server, url, auth_string(embedded.home), own)


@pytest.fixture
def client(line: Line) -> Iterator[SyncPrefectClient]:
    """Yield the controller's client, on the loopback interface."""
    settings = {
        PREFECT_API_URL: f"{line.server}/api",
        PREFECT_API_AUTH_STRING: line.auth,
        PREFECT_API_SSL_CERT_FILE: None,
        PREFECT_CLIENT_MAX_RETRIES: 0,
    }
    with temporary_settings(settings), get_client(sync_client=True) as found:
        yield found


def given(access: PrefectAccess, folder: Path, **attempt: Any) -> dict[str, str]:
    """Return the settings of a machine's processes, from the files in its cloud's vault."""
    lease = "0193aaaa-0000-7000-8000-00000000000a"
    told = {"job_key": "sw-0123456789ab", "attempt": 1, "lease_id": lease, "deadline": time.time() + 600, **attempt}
    write_secrets(folder / "secrets", access.secrets(**told))
    return api_settings(folder / "secrets")


def test_both_sides_use_same_file_name() -> None:
    assert trust.FILE == machine_side.CA_FILE


def test_check_reports_problem(line: Line, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    assert line.access().reached() is None
    for changes, said in (
        ({"auth_string": SecretStr("controller:guessed")}, "auth_string: the Prefect API"),
        ({"ca": None}, "ca: give the certificate"),
        ({"ca": other.pem}, "ca: give the certificate"),
        ({"api_url": f"{line.url.replace('127.0.0.1', 'localhost')}/api"}, "ca: give the certificate"),
        ({"way": "proxy", "proxy_url": line.url, "proxy_key": SecretStr(KEY), "ca": None}, "ca: give the certificate"),
    ):
        found = line.access(**changes).reached()
        assert found is not None
        assert said in found
        assert "\n" not in found
        assert "guessed" not in found


@pytest.mark.parametrize("text", ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "x" * 20_000])
def test_invalid_certificate_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError, match="ca: "):
        PrefectAccess(ca=text)


def test_private_key_is_rejected(line: Line) -> None:
    with pytest.raises(ValidationError, match="private key") as caught:
        PrefectAccess(ca=line.own.pem + (line.own.folder / "privkey.pem").read_text())
    assert "BEGIN" not in str(caught.value).replace("-----BEGIN CERTIFICATE-----", "")


@pytest.mark.thorough
def test_run_through_tls(line: Line, client: SyncPrefectClient, tmp_path: Path) -> None:
    """Tests the worker that an agent starts, its engine and a flow: run, logs, and events of its task by websocket."""
    (tmp_path / "tiny.py").write_text(TINY)
    name = "sw-0123456789ab-1"
    flow_id = client.create_flow_from_name("tiny")
    deployment = client.create_deployment(
        flow_id, "tiny", entrypoint=f"{tmp_path}/tiny.py:tiny", work_pool_name=MACHINES_POOL, pull_steps=[]
    )
    run = client.create_flow_run_from_deployment(deployment, work_queue_name=name)
    lease_id = open_lease(client, "sw-0123456789ab", 1)
    LeaseClient(given(line.access(), tmp_path), lease_id).renew(Lease(beat=1, phase=Phase.WORKING))
    brief = Brief("sw-0123456789ab", 1, "nowhere:", "", 1, 1.0, time.time() + 600)
    worker = Worker(brief, given(line.access(), tmp_path), tmp_path)
    by_run = {"flow_run_id": {"any_": [str(run.id)]}}
    worker.start()
    try:
        state = eventually("the run ends", lambda: _final(client, run.id), 120)
        assert state == "Completed", worker.last_lines()
        with httpx.Client(base_url=f"{line.server}/api", headers={"Authorization": basic(line.auth)}) as api:
            task_runs, logs = {"task_runs": by_run}, {"logs": by_run}
            eventually(
                "its task is recorded, from events",
                lambda: (
                    [one["state_name"] for one in api.post("/task_runs/filter", json=task_runs).json()] == ["Completed"]
                ),
            )
            eventually("its logs", lambda: "told from behind TLS" in api.post("/logs/filter", json=logs).text)
    finally:
        worker.stop()
    access_log = (line.own.folder / "access.log").read_text()
    assert "set_state" in access_log
    assert '"GET /api/events/in HTTP/1.1" 101' in access_log


def _final(client: SyncPrefectClient, run_id: Any) -> str | None:
    state = client.read_flow_run(run_id).state
    return state.name if state is not None and state.is_final() else None


def test_empty_block_uses_controllers_authority(line: Line, client: SyncPrefectClient, tmp_path: Path) -> None:
    """The controller has only PREFECT_API_SSL_CERT_FILE set."""
    lease_id = open_lease(client, "sw-0123456789ad", 1)
    settings = {PREFECT_API_URL: f"{line.url}/api", PREFECT_API_SSL_CERT_FILE: str(line.own.file)}
    with temporary_settings(settings):
        assert PrefectAccess().problem(here=True) is None
        assert PrefectAccess().reached() is None
        settings_there = given(PrefectAccess(), tmp_path)
    LeaseClient(settings_there, lease_id).renew(Lease(beat=1, phase=Phase.WORKING))


def test_no_access_without_auth_string(line: Line) -> None:
    verify = context(line.own)
    for headers in ({}, {"Authorization": basic("controller:guessed")}):
        answer = httpx.post(f"{line.url}/api/flow_runs/filter", json={}, headers=headers, verify=verify)
        assert answer.status_code == 401
    socket = f"{line.url.replace('https', 'wss')}/api/events/in"
    with connect(socket, subprotocols=[Subprotocol("prefect")], ssl=verify, proxy=None) as events:
        events.send(json.dumps({"type": "auth", "token": "controller:guessed"}))
        with pytest.raises(ConnectionClosed):
            events.recv(timeout=30)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{line.url}/api/health")


def test_proxy_behind_nginx(line: Line, client: SyncPrefectClient, tmp_path: Path) -> None:
    """A machine's token gives access to its own run by TLS and websocket; the server's auth string gives none."""
    front = authority(tmp_path / "front")
    with serving() as proxy, behind_nginx(proxy, front) as url:
        access = PrefectAccess(way="proxy", proxy_url=url, proxy_key=SecretStr(KEY), ca=front.pem)
        assert access.reached() is None
        own = open_attempt(client, proxy)
        settings = given(access, tmp_path, job_key=own.job_key, attempt=own.attempt, lease_id=own.lease_id)
        verify = trusted(settings)
        assert verify is not None
        auth = settings["PREFECT_API_AUTH_STRING"]
        with httpx.Client(base_url=f"{url}/api", headers={"Authorization": basic(auth)}, verify=verify) as machine:
            assert machine.get(f"/flow_runs/{own.run_id}").status_code == 200
            assert machine.post("/block_documents/filter", json={}).status_code == 403
            assert machine.get(f"/flow_runs/{own.run_id}/%2e%2e/filter").status_code == 403
        with httpx.Client(base_url=f"{url}/api", headers={"Authorization": basic(line.auth)}, verify=verify) as thief:
            assert thief.get(f"/flow_runs/{own.run_id}").status_code == 403
        event = event_about("flow-run", own.run_id, own.run_id, "prefect.flow-run.heartbeat")
        socket = f"{url.replace('https', 'wss')}/api/events/in"
        with connect(socket, subprotocols=[Subprotocol("prefect")], ssl=verify, proxy=None) as events:
            events.send(json.dumps({"type": "auth", "token": auth}))
            assert json.loads(events.recv(timeout=30)) == {"type": "auth_success"}
            events.send(json.dumps(event))
            events.ping().wait(30)
        with httpx.Client(base_url=f"{line.server}/api", headers={"Authorization": basic(line.auth)}) as api:
            eventually("the event is stored", lambda: events_known(api, [event["id"]]))
