"""A machine's flow run through the proxy of `spotwave proxy`, with a real worker, engine and server."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import WorkerStatus
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from pydantic import SecretStr

from spotwave.blocks.access import PrefectAccess
from spotwave.deployments.api import Api
from spotwave.deployments.home import ROOT
from spotwave.deployments.proxy.serve import serve
from spotwave.node.agent.engine import SETTINGS
from spotwave.node.agent.lease import Fenced, LeaseClient
from spotwave.node.contract import BRIEF_FILE, ENV_WORK, MACHINES_POOL, PUSHED_FILE, Brief, Lease, Phase
from tests.conftest import Embedded
from tests.deployments.proxy.kit import KEY, eventually, new_job_key, open_lease, settings_of


@pytest.fixture
def client(prefect_api: Api) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


@contextmanager
def command(embedded: Embedded, access: str, log: Path, *more: str) -> Iterator[str]:
    """Run `spotwave proxy` on a free port, and yield the address that it prints when it is ready."""
    home = {"SPOTWAVE_HOME": str(embedded.home.path), "PREFECT_HOME": os.environ["PREFECT_HOME"]}
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "spotwave.deployments.cli", "proxy", "--access", access, "--port", "0", *more],
            cwd=embedded.home.path,
            env=plain | home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("proxy ready: http"), log.read_text()
            yield ready.split()[2].rstrip(",")
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def worker(name: str, work: Path, settings: dict[str, str]) -> Iterator[None]:
    """Run the worker that a machine's agent starts; at the end, end it and its child processes."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    environment |= SETTINGS | settings | {"PREFECT_HOME": str(work / "prefect"), ENV_WORK: str(work)}
    environment["PYTHONPATH"] = str(ROOT / "src")
    with (work / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "spotwave.node.agent.attempt_worker", name],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def test_node_run_through_proxy(embedded: Embedded, client: SyncPrefectClient, tmp_path: Path) -> None:
    job_key, log = new_job_key(), tmp_path / "proxy.log"
    lease_id = open_lease(client, job_key, 1)
    PrefectAccess(proxy_key=SecretStr(KEY)).save("proxy-test", overwrite=True)
    brief = Brief(job_key, 1, "nowhere:", lease_id, 1, 2.0, time.time() + 600)
    brief.write(tmp_path / BRIEF_FILE)
    (tmp_path / PUSHED_FILE).write_text(
        "all that there will be"
    )  # written instead of the agent, so that no remote is needed
    with command(embedded, "prefect-access/proxy-test", log) as proxy:
        settings = settings_of(proxy, job_key, 1, lease_id)
        access = PrefectAccess(way="proxy", proxy_url=proxy, proxy_key=SecretStr(KEY))
        assert access.reached() is None
        LeaseClient(settings, lease_id).renew(Lease(beat=7, phase=Phase.WORKING))
        with worker(brief.name, tmp_path, settings):
            eventually("the worker is online", lambda: _online(client, brief.name), 90)
            run_id = _submit(job_key, brief.name)
            state = eventually("the run ends", lambda: _ended(client, run_id), 90)
            # Inside the context: on exit, the worker would end a run that has not sent all of its log yet.
            logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
            first = f"attempt 1 of {job_key}"
            eventually("its logs", lambda: any(line.message.startswith(first) for line in client.read_logs(logs)))
        output = (tmp_path / "worker.log").read_text()
        assert state == "Completed", output
        by_run_too = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run_id]))
        eventually(
            "all task runs are recorded, from events",
            lambda: (
                {run.name.split("-")[0]: run.state_name for run in client.read_task_runs(task_run_filter=by_run_too)}
                == dict.fromkeys(("hartree_fock", "choose_reference", "write_fcidump", "run_shci"), "Completed")
            ),
        )
        its_own = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        made = client.read_artifacts(artifact_filter=its_own)
        assert [(one.key, one.data) for one in made] == [("node-progress", 100)]
        lease = client.read_artifacts(artifact_filter=ArtifactFilter(id={"any_": [lease_id]}))[0]  # type: ignore[arg-type]
        told = Lease.from_metadata(lease.metadata_)
        assert told is not None
        assert told.beat == 7

        client.delete_artifact(UUID(lease_id))
        with pytest.raises(Fenced):
            LeaseClient(settings, lease_id).renew(Lease(beat=8, phase=Phase.WORKING))
    # Calls were rejected only after the end of the run: all calls that a run needs are allowed.
    refused = [line for line in log.read_text().splitlines() if "refused" in line and lease_id not in line]
    assert refused == []
    assert settings["PREFECT_API_AUTH_STRING"].split(":")[1] not in log.read_text() + output


def test_command_reports_invalid_options(embedded: Embedded, prefect_api: Api) -> None:
    for access, host, cert, told in (
        ("prefect-access/here", "127.0.0.1", None, "proxy_key: not set in the block prefect-access/here"),
        ("prefect-access/nowhere", "127.0.0.1", None, "--access prefect-access/nowhere: the block does not exist"),
        ("here", "127.0.0.1", None, "--access here: write it as prefect-access/"),
        ("prefect-access/here", "0.0.0.0", None, "--host 0.0.0.0: needs --cert and --key"),
        ("prefect-access/here", "127.0.0.1", Path("cert.pem"), "--cert, --key: give both"),
    ):
        with pytest.raises(ValueError, match=told):
            serve(embedded.home, access, host, 0, cert, None, print)


@pytest.mark.thorough
def test_proxy_with_own_certificate(embedded: Embedded, prefect_api: Api, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    PrefectAccess(proxy_key=SecretStr(KEY)).save("proxy-test", overwrite=True)
    files = ("--cert", str(cert), "--key", str(key))
    with command(embedded, "prefect-access/proxy-test", tmp_path / "proxy.log", *files) as proxy:
        assert proxy.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(cert))
        assert httpx.get(f"{proxy}/health", verify=trusting, trust_env=False).status_code == 200
        access = PrefectAccess(way="proxy", proxy_url=proxy, proxy_key=SecretStr(KEY))
        assert "certificate is not trusted" in (access.reached() or ""), "no machine would trust it either"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy-test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    return folder / "cert.pem", folder / "key.pem"


def test_reached_distinguishes_problems(embedded: Embedded, prefect_api: Api) -> None:
    assert PrefectAccess().reached() is None
    gone = PrefectAccess(api_url="http://127.0.0.1:9/api").reached()
    assert gone is not None
    assert gone.startswith("api_url: the Prefect API http://127.0.0.1:9/api does not answer")
    other = httpx.URL(prefect_api.url).copy_with(path="/elsewhere")
    assert "has no work pool 'machines'" in (PrefectAccess(api_url=str(other)).reached() or "")


def _online(client: SyncPrefectClient, name: str) -> bool:
    workers = client.read_workers_for_work_pool(MACHINES_POOL)
    return any(found.name == name and found.status == WorkerStatus.ONLINE for found in workers)


def _submit(job_key: str, name: str) -> UUID:
    """Submit a run as tasks.machine.submit does, from a story's flow, so that it is a child run."""

    @flow(name="proxy-test-story")
    def story() -> UUID:
        calculation = {"basis": "sto-3g", "eps1": 1e-3, "eps2": 1e-4}
        parameters = {"job_key": job_key, "attempt": 1, "calculation": calculation}
        run = run_deployment(
            "shci-node/machine",
            parameters=parameters,
            work_queue_name=name,
            idempotency_key=name,
            tags=[job_key],
            timeout=0,
        )
        return run.id  # type: ignore[union-attr, no-any-return]

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return story()


def _ended(client: SyncPrefectClient, run_id: UUID) -> str | None:
    state = client.read_flow_run(run_id).state
    return state.name if state is not None and state.is_final() else None
