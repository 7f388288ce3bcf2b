"""`up` with jobs of a version from before the move into one package, with a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled, Suspended

from spotwave.deployments import worker
from spotwave.deployments.earlier_version import refuse_unfinished, remove_deployments
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string
from spotwave.deployments.unavailable import Unavailable
from spotwave.flows.housekeeping.reconcile import AGE
from tests.conftest import Embedded, processes_of, run_spotwave

JOB = ("shci", "flows.shci.shci", ["spotwave", "chemistry"])  #: as version 0.1.0 deployed it
NODE = ("shci-node", "node.shci.shci_node", ["spotwave", "node"])
HOUSEKEEPING = ("reconcile", "flows.reconcile.reconcile", ["spotwave", "housekeeping"])
PRICES = ("prices", "flows.prices.prices", ["spotwave", "market"])
OURS = ("shci", "spotwave.flows.shci.shci", ["spotwave", "chemistry"])
ANOTHERS = ("thesis", "flows.thesis.run", ["chemistry"])
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def server(plain_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@contextmanager
def deployed(client: SyncPrefectClient, of: tuple[str, str, list[str]]) -> Iterator[UUID]:
    """Create a deployment with the given flow, entrypoint and tags; delete it at the end."""
    name, entrypoint, tags = of
    flow_id = client.create_flow_from_name(name)
    made = client.create_deployment(flow_id, f"test-{entrypoint}", entrypoint=entrypoint, tags=tags)
    try:
        yield made
    finally:
        if made in deployments(client):
            client.delete_deployment(made)


def deployments(client: SyncPrefectClient) -> set[UUID]:
    mine = DeploymentFilter(name=DeploymentFilterName(like_="test-"))
    return {one.id for one in client.read_deployments(deployment_filter=mine)}


@contextmanager
def run(client: SyncPrefectClient, deployment: UUID, state: State[Any]) -> Iterator[UUID]:
    """Create a run of the deployment in that state; delete it at the end."""
    made = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=TOMORROW))
    try:
        if state.type is StateType.CANCELLING:  # a run that has not started would be cancelled immediately
            client.set_flow_run_state(made.id, Running(), force=True)
        client.set_flow_run_state(made.id, state, force=True)
        assert client.read_flow_run(made.id).state_type is state.type
        yield made.id
    finally:
        client.delete_flow_run(made.id)


@pytest.mark.parametrize(
    "state",
    [
        Scheduled(scheduled_time=TOMORROW),
        Pending(),
        Running(),
        Suspended(timeout_seconds=3600),
        State(type=StateType.CANCELLING),
        Crashed(message="its computer was switched off; the version that started it restarts it"),
    ],
    ids=lambda state: str(state.name),
)
def test_unfinished_job_is_reported(server: SyncPrefectClient, state: State[Any]) -> None:
    with deployed(server, JOB) as job, run(server, job, state) as run_id:
        with pytest.raises(Unavailable) as caught:
            refuse_unfinished(server)
        said, name = str(caught.value), server.read_flow_run(run_id).name
        assert said.startswith(f"1 job of an earlier version of Spotwave ({name}) must end first")
        assert "with that version" in said
        assert "\n" not in said
    refuse_unfinished(server)


@pytest.mark.parametrize("state", [Completed(), Failed(), Cancelled()], ids=lambda state: str(state.name))
def test_ended_job_is_ignored(server: SyncPrefectClient, state: State[Any]) -> None:
    with deployed(server, JOB) as job, run(server, job, state):
        refuse_unfinished(server)


def test_at_most_three_jobs_are_named(server: SyncPrefectClient) -> None:
    with (
        deployed(server, JOB) as job,
        run(server, job, Running()),
        run(server, job, Running()),
        run(server, job, Running()),
        run(server, job, Suspended(timeout_seconds=3600)),
        pytest.raises(
            Unavailable, match=r"^4 jobs of an earlier version of Spotwave \([\w-]+, [\w-]+, [\w-]+, \.\.\.\)"
        ),
    ):
        refuse_unfinished(server)


@pytest.mark.parametrize("of", [NODE, HOUSEKEEPING, PRICES, OURS, ANOTHERS], ids=lambda of: of[1])
def test_other_runs_are_ignored(server: SyncPrefectClient, of: tuple[str, str, list[str]]) -> None:
    with deployed(server, of) as other, run(server, other, Running()):
        refuse_unfinished(server)


def test_job_that_crashed_too_long_ago_to_restart_is_ignored(
    server: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deployed(server, JOB) as job, run(server, job, Crashed()):
        assert timedelta(days=1) < AGE
        monkeypatch.setattr(
            "spotwave.deployments.earlier_version.AGE", timedelta(days=-2)
        )  # the run is scheduled for tomorrow
        refuse_unfinished(server)


def test_only_deployments_without_code_are_removed(server: SyncPrefectClient) -> None:
    with (
        deployed(server, JOB) as job,
        deployed(server, NODE) as node,
        deployed(server, HOUSEKEEPING) as housekeeping,
        deployed(server, OURS) as ours,
        deployed(server, ANOTHERS) as anothers,
    ):
        assert deployments(server) == {job, node, housekeeping, ours, anothers}
        remove_deployments(server)
        assert deployments(server) == {ours, anothers}
        remove_deployments(server)
        assert deployments(server) == {ours, anothers}


@pytest.mark.thorough
@pytest.mark.slow
def test_up_starts_no_worker_while_earlier_job_is_suspended(embedded: Embedded, tmp_path: Path) -> None:
    """A worker of this version would start the job when it is resumed, and the job would crash."""
    home = Home(tmp_path.resolve())
    with (
        embedded.api.in_use(embedded.home),
        get_client(sync_client=True) as client,
        deployed(client, JOB) as job,
        run(client, job, Suspended(timeout_seconds=3600)),
    ):
        own = {"PREFECT_API_URL": embedded.api.url, "PREFECT_API_AUTH_STRING": auth_string(embedded.home)}
        up = run_spotwave(home, "up", **own)
        assert up.returncode == 1, up.stdout
        (line,) = up.stderr.strip().splitlines()
        assert "1 job of an earlier version of Spotwave" in line
        assert worker.running(home) is None
        assert processes_of(home) == []
    again = embedded.spotwave("up")
    assert again.returncode == 0, again.stderr
