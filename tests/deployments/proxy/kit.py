"""Helpers for the proxy's tests: attempts as the controller creates them, and the proxy in front of a real server."""

from __future__ import annotations

import base64
import contextvars
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import jwt
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.flows import Flow
from prefect.settings import get_current_settings
from pydantic import SecretStr
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from spotwave.blocks.access import PrefectAccess, basic
from spotwave.deployments.proxy.places import Limits
from spotwave.deployments.proxy.serve import make_server
from spotwave.node.contract import MACHINES_POOL, SECRET_API, attempt_name

T = TypeVar("T")

KEY = "the key of the proxy in these tests, long enough"


def eventually(what: str, look: Callable[[], T | None], within_s: float = 30.0) -> T:
    """Return the first true value of `look`; fails after `within_s` seconds."""
    limit = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < limit, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)
    return found


class RetryTransport(httpx.HTTPTransport):
    """Transport that retries on 503 (SQLite is busy), as Prefect's client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(20):
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            answer.close()
            time.sleep(0.2)
        return answer


def plain(url: str, **headers: str) -> httpx.Client:
    """Return a plain HTTP client for an address that ends in /api."""
    return httpx.Client(base_url=url, headers=headers, transport=RetryTransport(), timeout=30)


def as_controller(url: str) -> httpx.Client:
    """Return a plain HTTP client with the auth string of the caller's Prefect settings."""
    auth = get_current_settings().api.auth_string
    return plain(url, **({"Authorization": basic(auth.get_secret_value())} if auth else {}))


@contextmanager
def serving(
    key: str = KEY,
    limits: Limits = Limits(),
    cert: Path | None = None,
    cert_key: Path | None = None,
) -> Iterator[str]:
    """Run the proxy in a thread, in front of the API of the caller's settings; yield its address without /api."""
    server = make_server(key, cert=cert, key=cert_key, limits=limits)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Prefect's settings are a context variable, which a thread does not inherit.
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(server.run, [listening]))
        thread.start()
        try:
            eventually("the proxy listens", lambda: server.started or not thread.is_alive())
            yield f"{'https' if cert else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


@dataclass
class Opened:
    """An attempt with its lease, its node run (not executed) and its machine's settings."""

    job_key: str
    attempt: int
    lease_id: str
    run_id: str
    settings: dict[str, str]

    @property
    def name(self) -> str:
        return attempt_name(self.job_key, self.attempt)

    @property
    def auth(self) -> str:
        return self.settings["PREFECT_API_AUTH_STRING"]

    def client(self) -> httpx.Client:
        """Return a plain HTTP client, as an attacker on the machine could use."""
        return plain(self.settings["PREFECT_API_URL"], Authorization=basic(self.auth))


def new_job_key() -> str:
    return f"sw-{uuid4().hex[:12]}"


def open_lease(client: SyncPrefectClient, job_key: str, attempt: int) -> str:
    """Create a lease as tasks.api.create_lease does, with its own parent run."""
    parent = client.create_flow_run(Flow(lambda: None, name="proxy-test-parent"))
    artifact = client.create_artifact(
        ArtifactCreate(
            key=f"lease-{attempt_name(job_key, attempt)}", type="markdown", data="not seen", flow_run_id=parent.id
        )
    )
    return str(artifact.id)


def settings_of(
    proxy: str, job_key: str, attempt: int, lease_id: str, deadline: float | None = None, key: str = KEY
) -> dict[str, str]:
    """Return the content of the machine's api.json as the block writes it."""
    access = PrefectAccess(way="proxy", proxy_url=proxy, proxy_key=SecretStr(key))
    deadline = time.time() + 600 if deadline is None else deadline
    secrets = access.secrets(job_key=job_key, attempt=attempt, lease_id=lease_id, deadline=deadline)
    return dict(json.loads(secrets[SECRET_API].get_secret_value()))


def open_attempt(client: SyncPrefectClient, proxy: str, job_key: str | None = None, attempt: int = 1) -> Opened:
    """Create lease, queue and scheduled node run as the controller does; the run is not executed."""
    job_key = job_key or new_job_key()
    name = attempt_name(job_key, attempt)
    lease_id = open_lease(client, job_key, attempt)
    deployment = client.read_deployment_by_name("shci-node/machine")
    run = client.create_flow_run_from_deployment(
        deployment.id,
        parameters={"job_key": job_key, "attempt": attempt, "calculation": {"basis": "sto-3g"}},
        work_queue_name=name,
        idempotency_key=name,
        tags=[job_key],
    )
    return Opened(job_key, attempt, lease_id, str(run.id), settings_of(proxy, job_key, attempt, lease_id))


def close_attempt(client: SyncPrefectClient, opened: Opened) -> None:
    """Remove an attempt from the server, which other tests use too."""
    client.delete_flow_run(UUID(opened.run_id))
    with as_controller(str(client.api_url)) as api:
        api.delete(f"/artifacts/{opened.lease_id}")  # it may be deleted already
        api.delete(f"/work_pools/{MACHINES_POOL}/queues/{opened.name}").raise_for_status()


def event_about(kind: str, id_: str, run_id: str, name: str, **more: Any) -> dict[str, Any]:
    """Return an event as Prefect's client sends it."""
    return {
        "occurred": datetime.now(UTC).isoformat(),
        "event": name,
        "resource": {"prefect.resource.id": f"prefect.{kind}.{id_}"},
        "related": [{"prefect.resource.id": f"prefect.flow-run.{run_id}", "prefect.resource.role": "flow-run"}],
        "payload": {},
        "id": str(uuid4()),
        "follows": None,
    } | more


def task_run_event(task_run_id: str, run_id: str, **task_run: Any) -> dict[str, Any]:
    """Return an event of a running task run, with a payload that the server's recorder accepts."""
    payload = {
        "validated_state": {"type": "RUNNING", "name": "Running", "message": "", "state_details": {}},
        "task_run": {"name": "taken", "task_key": f"key-{task_run_id[:8]}", "dynamic_key": task_run_id} | task_run,
    }
    event = event_about("task-run", task_run_id, run_id, "prefect.task-run.Running", payload=payload)
    event["resource"]["prefect.orchestration"] = "client"  # otherwise the recorder ignores it
    return event


def events_known(api: httpx.Client, ids: list[str]) -> set[str]:
    """Return the events that the server has stored."""
    answer = api.post("/events/filter", json={"filter": {"id": {"id": ids}}, "limit": 50})
    answer.raise_for_status()
    return {event["id"] for event in answer.json()["events"]}


@dataclass
class World:
    """Two attempts on one server: `own` is the caller's, `other` is not."""

    client: SyncPrefectClient
    proxy: str
    own: Opened
    other: Opened
    api: httpx.Client  #: without the proxy
    ids: dict[str, str]  #: values of the placeholders in <> in the table

    def filled(self, thing: Any) -> Any:
        text = json.dumps(thing)
        for word, id_ in self.ids.items():
            text = text.replace(f"<{word}>", id_)
        return json.loads(text)


def claims(world: World, **other: Any) -> dict[str, Any]:
    own = world.own
    return {"job": own.job_key, "attempt": own.attempt, "lease": own.lease_id, "exp": int(time.time()) + 60} | other


def forged(world: World) -> dict[str, str]:
    """Return invalid tokens by description."""
    good = jwt.encode(claims(world), KEY, algorithm="HS256")
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    changed = base64.urlsafe_b64encode(json.dumps(claims(world, attempt=2)).encode()).rstrip(b"=").decode()
    return {
        "another key": jwt.encode(claims(world), KEY[::-1], algorithm="HS256"),
        "another algorithm": jwt.encode(claims(world), KEY * 2, algorithm="HS512"),
        "no algorithm": jwt.encode(claims(world), None, algorithm="none"),
        "no algorithm, signed": f"{none}.{body}.{signature}",
        "changed claims": f"{head}.{changed}.{signature}",
        "over": jwt.encode(claims(world, exp=int(time.time()) - 1), KEY, algorithm="HS256"),
        "no end": jwt.encode({k: v for k, v in claims(world).items() if k != "exp"}, KEY, algorithm="HS256"),
        "another's lease": jwt.encode(claims(world, lease=world.other.lease_id), KEY, algorithm="HS256"),
        "a progress bar for a lease": jwt.encode(
            claims(world, lease=world.ids["other artifact"]), KEY, algorithm="HS256"
        ),
        "no lease": jwt.encode(claims(world, lease=str(uuid4())), KEY, algorithm="HS256"),
        "another job's name": jwt.encode(claims(world, job="../x"), KEY, algorithm="HS256"),
        "a question": jwt.encode({"question": True, "exp": int(time.time()) + 60}, KEY, algorithm="HS256"),
        "nothing": "",
    }  # fmt: skip


def socket_of(opened: Opened, path: str, token: str | None = None) -> ClientConnection:
    """Open a websocket and send its token."""
    url = opened.settings["PREFECT_API_URL"].replace("http", "ws", 1) + path
    with ExitStack() as unless_accepted:
        socket = unless_accepted.enter_context(connect(url, subprotocols=[Subprotocol("prefect")], proxy=None))
        socket.send(json.dumps({"type": "auth", "token": opened.auth if token is None else token}))
        assert json.loads(socket.recv(timeout=30)) == {"type": "auth_success"}
        unless_accepted.pop_all()
    return socket
