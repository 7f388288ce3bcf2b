"""Helpers of the end-to-end tests: start a job, find its machine, wait, disturb it, read the results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, State, TaskRun
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Scheduled

from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.models import Machine
from spotwave.deployments.home import Home
from spotwave.flows.shci import shci
from spotwave.node.contract import ENGINE_PID_FILE, ENV_MACHINE, LATEST_FILE, job_key_of
from tests.conftest import MANY_VCPUS, Embedded
from tests.faults.hooked import Hooked, Plan
from tests.faults.steps import Step
from tests.flows.logs import messages
from tests.processes import words

T = TypeVar("T")

ASKS_S = 2.0  # poll interval of tests that wait for minutes, since all of them share the CPU of Prefect's server

USD_H = 36.0  # price in the fixture `priced`: a cent per second
# Small enough for a test: a second of heat-bath CI.
MINIMAL = {"basis": "sto-3g"}
# Energies of an undisturbed run; Hartree.
UNDISTURBED = {
    "rhf_energy": -149.9353759264,
    "variational_energy": -150.0343435830,
    "total_energy": -150.0348758303,
    "determinants": 3842,
}


def eventually(what: str, look: Callable[[], T | None], within_s: float = 300.0, every_s: float = 0.1) -> T:
    """Return the first true value of `look`; fail after `within_s` seconds."""
    limit = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < limit, f"not within {within_s:.0f} s: {what}"
        time.sleep(every_s)


def now_and_then(look: Callable[[], T | None], every_s: float = ASKS_S) -> Callable[[], T | None]:
    """Return `look`, limited to one call per `every_s` seconds and None between: for requests to a server."""
    due = 0.0

    def limited() -> T | None:
        nonlocal due
        if time.monotonic() < due:
            return None
        found = look()
        due = time.monotonic() + every_s
        return found

    return limited


def local_cloud(home: Home) -> LocalCloud:
    """Return the local cloud of this home, as in the embedded default."""
    return LocalCloud(folder=str(home.machines), pretend_vcpus=MANY_VCPUS)


@dataclass
class Job:
    """A run of shci/water-dimer, seen from outside."""

    home: Home
    client: SyncPrefectClient
    run_id: Any
    plan: Plan | None = field(default=None, kw_only=True)  #: the plan at which one of its processes waits
    deleted: bool = field(default=False, kw_only=True)  #: whether the test has deleted it

    @property
    def key(self) -> str:
        return job_key_of(self.run_id)

    @property
    def run(self) -> FlowRun:
        return self.client.read_flow_run(self.run_id)

    @property
    def result(self) -> dict[str, Any]:
        found = json.loads((self.home.results / self.key / "result.json").read_text())
        assert isinstance(found, dict)
        return found

    @property
    def remote(self) -> Path:
        return self.home.remote / self.key

    def node_runs(self) -> list[FlowRun]:
        """Return the runs of the attempts, oldest first."""
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[self.key]))
        runs = [run for run in self.client.read_flow_runs(flow_run_filter=tagged) if run.parent_task_run_id]
        return sorted(runs, key=lambda run: run.name)

    def tasks_of(self, run: FlowRun) -> list[TaskRun]:
        return self.client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[run.id]))
        )

    def artifacts_of(self, run_id: Any) -> dict[str, Artifact]:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        return {str(found.key): found for found in self.client.read_artifacts(artifact_filter=wanted)}

    def machine(self, attempt: int = 1) -> Machine:
        """Return the attempt's machine, once the cloud lists it."""
        return eventually(
            f"machine {attempt} of {self.key}",
            lambda: next((m for m in local_cloud(self.home).find(self.key) if m.attempt == attempt), None),
            every_s=0.5,  # it scans every process of this computer
        )

    def work(self, attempt: int = 1) -> Path:
        return self.home.machines / self.machine(attempt).id / "work"

    def engine(self, attempt: int = 1) -> int:
        """Return the pid of the attempt's node run."""
        path = self.work(attempt) / ENGINE_PID_FILE
        return int(eventually("node run started", lambda: path.read_text() if path.exists() else None))

    def waits(self) -> None:
        """Return once its process waits: from then on the job cannot end before it is disturbed."""
        assert self.plan is not None
        eventually("it waits where its plan says", lambda: self.plan and self.plan.waits, 400)

    def saved(self) -> None:
        """Return once a verified checkpoint is on the remote."""
        eventually("LATEST is on the remote", (self.remote / LATEST_FILE).exists)

    def finished(self, within_s: float = 400.0) -> State[Any]:
        state = eventually(
            "the job ends", lambda: s if (s := self.run.state) is not None and s.is_final() else None, within_s, ASKS_S
        )
        assert isinstance(state, State)
        return state

    def completed(self) -> dict[str, Any]:
        state = self.finished()
        assert state.is_completed(), state.message
        return self.result


@contextmanager
def saved(embedded: Embedded, name: str, *blocks: Block) -> Iterator[list[str]]:
    """Save blocks under that name, and delete them at the end, since a deleted cloud would still be queried. Yields the
    documents' full names."""
    with embedded.api.in_use(embedded.home):
        slugs = [block.get_block_type_slug() for block in blocks]
        for block in blocks:
            block.save(name, overwrite=True)
    try:
        yield [f"{slug}/{name}" for slug in slugs]
    finally:
        with embedded.api.in_use(embedded.home), get_client(sync_client=True) as client:
            for slug in slugs:
                document = client.read_block_document_by_name(name, slug, include_secrets=False)
                client.delete_block_document(document.id)


def start(
    embedded: Embedded,
    client: SyncPrefectClient,
    at: tuple[Hooked, Step] | None = None,
    environment: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Job:
    """Start a job. at: the step at which one of its processes waits. environment: additions to its controller's."""
    deployment = client.read_deployment_by_name("shci/water-dimer")
    tomorrow = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    variables = {**deployment.job_variables, "env": dict(environment)} if environment else None
    run = client.create_flow_run_from_deployment(
        deployment.id, parameters=parameters, state=tomorrow, job_variables=variables
    )
    plan = None
    if at is not None:
        hooked, step = at
        plan = hooked.plan(job_key_of(run.id), call=step.call, when=step.when, attempt=step.attempt)
    client.set_flow_run_state(run.id, Scheduled(), force=True)
    return Job(embedded.home, client, run.id, plan=plan)


def refused(**parameters: Any) -> str:
    """Return the message of a job that fails before anything is launched. It runs in the test's own process, without
    the heartbeat thread, whose end takes a second per flow run."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        state = shci(**parameters, return_state=True)
    assert state.is_failed()
    assert state.message is not None
    return state.message


def marked_processes(machine_id: str) -> list[psutil.Process]:
    """Return every running process of a machine."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(ENV_MACHINE) == machine_id:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def running(machine_id: str, module: str) -> list[psutil.Process]:
    """Return the processes of a machine that run `python -m <module>`; one may end during the scan."""
    return [process for process in marked_processes(machine_id) if module in words(process)]


def nothing_left(job: Job) -> None:
    """Check that no machine of the job, no process of its machines and no queue is left."""
    assert local_cloud(job.home).find(job.key) == []
    for folder in job.home.machines.glob(f"{job.key}-*"):
        assert marked_processes(folder.name) == []
    queues = job.client.read_work_queues(work_pool_name="machines")
    assert not [queue.name for queue in queues if queue.name.startswith(job.key)]


def same_energies(result: dict[str, Any]) -> None:
    for energy in ("rhf_energy", "variational_energy", "total_energy"):
        assert result[energy] == pytest.approx(UNDISTURBED[energy], abs=1e-8), energy
    assert result["determinants"] == UNDISTURBED["determinants"]


def endings(result: dict[str, Any]) -> list[str]:
    return [attempt["ending"] for attempt in result["attempts"]]


def repeated_scf(run: Job, attempt: int) -> bool:
    """Whether that attempt computed the SCF instead of reading it from the checkpoint."""
    node_run = run.node_runs()[attempt - 1]
    return not any("taken from the checkpoint" in line for line in messages(run.client, node_run.id))
