"""A real `up`: what it creates, repeated, concurrent and interrupted calls, and that `down` ends everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from spotwave.blocks.access import PrefectAccess, basic
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.rclone import RcloneRemote
from spotwave.deployments import server, worker
from spotwave.deployments.api import Api
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string
from spotwave.node.contract import CONTROLLER_POOL, HOUSEKEEPING_QUEUE, JOBS_QUEUE, MACHINES_POOL
from tests.conftest import Embedded, processes_of, run_spotwave

pytestmark = pytest.mark.slow

_DEPLOYMENTS = (
    "shci/water-dimer",
    "shci/water-dimer-avdz",
    "shci-node/machine",
    "reconcile/every-5-minutes",
    "reap/every-10-minutes",
)


def test_pools_have_limits_for_sqlite(prefect_api: Api) -> None:
    with get_client(sync_client=True) as client:
        controller = client.read_work_pool(CONTROLLER_POOL)
        machines = client.read_work_pool(MACHINES_POOL)
        jobs = client.read_work_queue_by_name(JOBS_QUEUE, work_pool_name=CONTROLLER_POOL)
        housekeeping = client.read_work_queue_by_name(HOUSEKEEPING_QUEUE, work_pool_name=CONTROLLER_POOL)
    assert (controller.concurrency_limit, machines.concurrency_limit) == (10, 8)
    assert (jobs.concurrency_limit, housekeeping.concurrency_limit) == (8, 2)
    assert "command" not in controller.base_job_template["variables"]["properties"]
    assert "command" not in controller.base_job_template["job_configuration"]
    assert machines.base_job_template["variables"]["properties"]["stream_output"]["default"] is False


def test_deployments_exist_and_have_no_folder(prefect_api: Api) -> None:
    with get_client(sync_client=True) as client:
        for name in _DEPLOYMENTS:
            deployment = client.read_deployment_by_name(name)
            assert deployment.pull_steps == []
            assert "requirements" not in deployment.parameters or deployment.parameters["basis"] == "aug-cc-pVDZ"


def test_default_blocks_load(embedded: Embedded, prefect_api: Api) -> None:
    assert LocalCloud.load("here").find() == []
    assert RcloneRemote.load("here").path == str(embedded.home.remote)
    assert PrefectAccess.load("here").api_url is None


def test_plain_prefect_command_reaches_server(embedded: Embedded, tmp_path: Path) -> None:
    """It works from any folder, with the profile that `up` wrote into the user's profiles file."""
    user = {"PREFECT_HOME": str(embedded.home.path / "user")}
    bare = {key: value for key, value in embedded.environment.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    command = [sys.executable, "-m", "prefect", "work-pool", "inspect", CONTROLLER_POOL]
    done = subprocess.run(command, cwd=tmp_path, env=bare | user, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert CONTROLLER_POOL in done.stdout
    # An API key overrides the password: `up` reports it, and Spotwave's own processes are not affected.
    told = embedded.spotwave("up", PREFECT_API_KEY="pnu_1234")
    assert told.returncode == 0, told.stderr
    assert "PREFECT_API_KEY is set and overrides the password" in told.stdout


def test_open_websockets_do_not_block_requests(embedded: Embedded) -> None:
    """On SQLite the server answers a hundred requests at a time; each job has eight open websockets."""
    with ExitStack() as opened:
        for _ in range(101):
            url = f"{embedded.api.url.replace('http', 'ws', 1)}/events/out"
            opened.enter_context(connect(url, subprotocols=[Subprotocol("prefect")], proxy=None, close_timeout=1))
        header = {"Authorization": basic(auth_string(embedded.home))}
        assert httpx.get(f"{embedded.api.url}/health", headers=header, timeout=30, trust_env=False).is_success


def test_repeated_up_keeps_running_processes(embedded: Embedded) -> None:
    before = (server.running(embedded.home), worker.running(embedded.home))
    done = embedded.spotwave("up")
    assert done.returncode == 0, done.stderr
    assert (server.running(embedded.home), worker.running(embedded.home)) == before
    assert "registered" not in done.stdout


@pytest.mark.thorough
def test_killed_worker_is_replaced_once_by_concurrent_ups(embedded: Embedded) -> None:
    killed = worker.running(embedded.home)
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda _: embedded.spotwave("up"), range(2)):
            assert done.returncode == 0, done.stderr
    fresh = worker.running(embedded.home)
    assert fresh is not None
    assert fresh.pid != killed.pid
    workers = [line for line in embedded.left() if "spotwave.deployments.controller" in line]
    assert len(workers) == 1


@pytest.mark.thorough
def test_configured_api_is_used_and_no_server_started(embedded: Embedded, tmp_path: Path) -> None:
    home = Home(tmp_path.resolve())
    own = {"PREFECT_API_URL": embedded.api.url, "PREFECT_API_AUTH_STRING": auth_string(embedded.home)}
    up = run_spotwave(home, "up", **own)
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        assert f"as configured: {embedded.api.url}" in up.stdout
        assert server.running(home) is None
        assert worker.running(home) is not None
    finally:
        down = run_spotwave(home, "down", **own)
    assert down.returncode == 0, f"{down.stdout}\n{down.stderr}"
    assert processes_of(home) == []
    assert server.running(embedded.home) is not None
    assert worker.running(embedded.home) is not None


def test_unreachable_configured_api_gives_one_line(tmp_path: Path) -> None:
    up = run_spotwave(Home(tmp_path.resolve()), "up", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert up.returncode == 1
    assert "The configured Prefect API http://127.0.0.1:9/api does not answer" in up.stderr
    assert len(up.stderr.strip().splitlines()) == 1
    assert processes_of(Home(tmp_path.resolve())) == []
