"""The embedded server on PostgreSQL, with a second server process connected by Redis: real servers and real jobs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL, temporary_settings
from pydantic import SecretStr

from benchmarks._crowd_kit import Crowd, brought_up
from spotwave.blocks.access import basic
from spotwave.deployments import database, server
from spotwave.deployments.api import Api, Unavailable
from spotwave.deployments.database import SETTING, Database, Unusable
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string, encryption_key
from spotwave.deployments.pools import ENV_JOBS, BadLimit, Limit, limit_for
from spotwave.deployments.processes import marked
from spotwave.node.contract import CONTROLLER_POOL, JOBS_QUEUE, MACHINES_POOL
from tests.flows.kit import eventually
from tests.services import Postgres, free_port, postgres, redis

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=1.5)]

JOBS = 3
MORE_THAN_SQLITE = 40

# docs/many-jobs.md: settings that make servers share their events, leases and services.
REDIS = {
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
}


@dataclass
class TwoServers:
    """TwoServers server processes on one PostgreSQL and one Redis: the embedded one, and another without services."""

    home: Home
    database: Postgres
    settings: dict[str, str]
    first: Api
    second: str


@pytest.fixture(scope="module")
def data() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


@pytest.fixture(scope="module")
def two(data: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoServers]:
    home = Home(tmp_path_factory.mktemp("postgres").resolve())
    with redis() as broker:
        settings = {SETTING: data.url(), ENV_JOBS: str(MORE_THAN_SQLITE), **REDIS}
        settings |= {"PREFECT_REDIS_MESSAGING_URL": broker, "PREFECT_SERVER_DOCKET_URL": broker}
        with brought_up(home, settings) as api:
            port = free_port()
            command = [sys.executable, "-m", "prefect", "server", "start", "--no-services", "--host", "127.0.0.1"]
            environment = api.environment(home) | settings
            environment |= {
                "PREFECT_SERVER_ENCRYPTION_KEY": encryption_key(home),
                "PREFECT_SERVER_API_AUTH_STRING": auth_string(home),
            }
            del environment["PREFECT_API_URL"]
            with (home.logs / "second.log").open("wb") as log:
                process = subprocess.Popen(
                    [*command, "--port", str(port)], cwd=home.prefect, env=environment, stdout=log, stderr=log
                )
            try:
                url = f"http://127.0.0.1:{port}/api"
                eventually("the second server answers", lambda: _answers(process, url, log.name))
                yield TwoServers(home, data, settings, api, url)
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def _answers(process: subprocess.Popen[bytes], url: str, log: str) -> bool:
    assert process.poll() is None, Path(log).read_text()[-1500:]
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def client(two: TwoServers) -> Iterator[SyncPrefectClient]:
    with two.first.in_use(two.home), get_client(sync_client=True) as found:
        yield found


def test_pools_allow_more_jobs_than_sqlite(client: SyncPrefectClient) -> None:
    queue = client.read_work_queue_by_name(JOBS_QUEUE, work_pool_name=CONTROLLER_POOL)
    controller, machines = client.read_work_pool(CONTROLLER_POOL), client.read_work_pool(MACHINES_POOL)
    assert (queue.concurrency_limit, machines.concurrency_limit) == (MORE_THAN_SQLITE, MORE_THAN_SQLITE)
    assert controller.concurrency_limit == MORE_THAN_SQLITE + 2


def test_jobs_run_once_and_give_one_event_with_two_servers(two: TwoServers, client: SyncPrefectClient) -> None:
    with _api_client(two.home, two.first.url) as first, _api_client(two.home, two.second) as second:
        automation = second.post("/automations/", json=_crowd_automation()).raise_for_status().json()["id"]
        crowd = Crowd.of(two.home, client)
        crowd.start(JOBS - 1)
        # The last run is created at the second server; the worker polls the first.
        asked = second.post(f"/deployments/{crowd.story}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
        crowd.jobs.append(UUID(asked.raise_for_status().json()["id"]))

        eventually("every job has its machine", lambda: crowd.at_the_gate() == JOBS, 240, 0.5)
        crowd.open_gate()
        eventually("every job has ended", lambda: crowd.ended() == JOBS, 120, 0.5)
        assert crowd.faults() == []
        assert crowd.together() == JOBS

        seen = [second.get(f"/flow_runs/{job}").raise_for_status().json() for job in crowd.jobs]
        assert {run["state_name"] for run in seen} == {"Completed"}
        triggered = f"prefect.automation.{automation}"
        eventually(
            "the automation was triggered",
            lambda: _count(second, "prefect.automation.triggered", triggered) >= JOBS,
            30,
        )
        for api in (first, second):
            for job in crowd.jobs:
                assert _count(api, "prefect.flow-run.Completed", f"prefect.flow-run.{job}") == 1
            assert _count(api, "prefect.automation.triggered", triggered) == JOBS


def test_password_is_only_in_server_environment(two: TwoServers) -> None:
    password = two.database.password
    running = server.running(two.home)
    assert running is not None
    for process in marked(two.home.path, machines=False):
        assert password not in " ".join(process.cmdline())
        is_server = "server" in process.cmdline()
        assert (password in str(process.environ())) == is_server, process.cmdline()
    assert password in str(psutil.Process(running.pid).environ())
    written = [path for path in two.home.path.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert written == []
    with _api_client(two.home, two.first.url) as api:
        settings = api.get("/admin/settings").raise_for_status().text
    assert password not in settings
    assert auth_string(two.home) not in settings


def test_changed_database_is_rejected(two: TwoServers) -> None:
    with (
        temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: two.database.url("other")}),
        pytest.raises(Unavailable, match=f"names PostgreSQL at 127.0.0.1:{two.database.port}/other"),
    ):
        server.ensure(two.home)
    # Commands without the setting keep using the running server.
    api, started = server.ensure(two.home)
    assert (api, started) == (two.first, False)
    assert server.place_of_data(two.home) == f"PostgreSQL at 127.0.0.1:{two.database.port}/postgres"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("host.example/secret-word", "is not a valid database address"),
        ("postgresql://me:secret-word@host/spotwave", "not 'postgresql'"),
        ("mysql+aiomysql://me:secret-word@host/spotwave", "not 'mysql+aiomysql'"),
    ],
)
def test_invalid_database_is_reported_without_password(url: str, message: str) -> None:
    with (
        temporary_settings({PREFECT_SERVER_DATABASE_CONNECTION_URL: url}),
        pytest.raises(Unusable, match=SETTING) as refused,
    ):
        database.chosen()
    assert message in str(refused.value)
    assert "secret-word" not in str(refused.value)


def test_rejected_database_login_gives_one_line(data: Postgres) -> None:
    def told(url: str) -> str:
        with pytest.raises(Unusable) as refused:
            asyncio.run(database.check(Database("PostgreSQL at the test's", SecretStr(url))))
        assert data.password not in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
        return str(refused.value)

    assert "password authentication failed" in told(data.url().replace(data.password, "wrong-word"))
    assert 'database "nowhere" does not exist' in told(data.url("nowhere"))
    assert "Connect call failed" in told(data.url().replace(f":{data.port}/", ":9/"))
    asyncio.run(database.check(Database("PostgreSQL", SecretStr(data.url()))))


def test_home_keeps_its_database(tmp_path: Path) -> None:
    home, ours = Home(tmp_path), Database("PostgreSQL at a:5432/x", SecretStr("postgresql+asyncpg://a/x"))
    home.create()
    database.check_unchanged(home, ours)  # from no database, and from SQLite
    database.remember(home, Database("SQLite"))
    database.check_unchanged(home, ours)
    database.remember(home, ours)
    database.check_unchanged(home, ours)
    for other in (Database("SQLite"), Database("PostgreSQL at b:5432/x", SecretStr("postgresql+asyncpg://b/x"))):
        with pytest.raises(Unusable, match="data are in PostgreSQL at a:5432/x"):
            database.check_unchanged(home, other)


def test_limit_of_concurrent_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_JOBS, raising=False)
    assert limit_for(sqlite=True) == limit_for(sqlite=None) == Limit(8)
    assert 8 <= limit_for(sqlite=False).jobs <= 40
    monkeypatch.setenv(ENV_JOBS, "200")
    assert limit_for(sqlite=False) == limit_for(sqlite=None) == Limit(200, asked=True)
    with pytest.raises(BadLimit, match="SQLite supports at most 8 jobs at once, not 200"):
        limit_for(sqlite=True)
    for wrong in ("0", "-3", "many", "1e3", "1000000"):
        monkeypatch.setenv(ENV_JOBS, wrong)
        with pytest.raises(BadLimit, match=f"{ENV_JOBS}: must be a whole number from 1 to 100000, not '{wrong}'"):
            limit_for(sqlite=False)


def _api_client(home: Home, url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": basic(auth_string(home))}, trust_env=False, timeout=30)


def _crowd_automation() -> dict[str, Any]:
    """Return an automation that does nothing, triggered by each completed job of the flow `crowd`."""
    return {
        "name": "a job is done",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": ["prefect.flow-run.Completed"],
            "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": "crowd"},
            "for_each": ["prefect.resource.id"],
            "threshold": 1,
            "within": 0,
        },
        "actions": [{"type": "do-nothing"}],
    }


def _count(api: httpx.Client, event: str, resource: str) -> int:
    """Return the number of such events that the API has."""
    wanted = {"filter": {"event": {"name": [event]}, "any_resource": {"id": [resource]}}}
    return int(api.post("/events/filter", json=wanted).raise_for_status().json()["total"])
