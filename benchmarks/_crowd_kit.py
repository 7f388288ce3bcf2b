"""Helpers for many concurrent jobs: start an embedded server, start and end the jobs, and check the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Scheduled

from spotwave.blocks.local.block import LocalCloud
from spotwave.deployments import server
from spotwave.deployments.api import Api
from spotwave.deployments.home import Home
from spotwave.deployments.processes import marked
from spotwave.node.contract import CONTROLLER_POOL, JOBS_QUEUE, MACHINES_POOL, job_key_of

_UP_S = 300.0
_PAGE = 200
_ROOT = Path(__file__).resolve().parents[1]
# The package `benchmarks` is not installed: the processes that run its flows need the checkout on their path.
_WITH_CHECKOUT = {"env": {"PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}"}}
MANY_VCPUS = 4096


@dataclass
class Crowd:
    """Jobs that were started together."""

    home: Home
    client: SyncPrefectClient
    gate: Path
    story: UUID  #: deployment of the story
    node: UUID  #: deployment of the node flow
    jobs: list[UUID] = field(default_factory=list)

    @classmethod
    def of(cls, home: Home, client: SyncPrefectClient) -> Crowd:
        """Register the two flows of benchmarks/_crowd.py."""
        gate = home.path / "gate"
        entry = "benchmarks._crowd"
        story = client.create_deployment(
            flow_id=client.create_flow_from_name("crowd"),
            name="job",
            entrypoint=f"{entry}.crowd",
            pull_steps=[],
            work_pool_name=CONTROLLER_POOL,
            work_queue_name=JOBS_QUEUE,
            parameters={"gate": str(gate)},
            job_variables=_WITH_CHECKOUT,
        )
        node = client.create_deployment(
            flow_id=client.create_flow_from_name("crowd-node"),
            name="machine",
            entrypoint=f"{entry}.crowd_node",
            pull_steps=[],
            work_pool_name=MACHINES_POOL,
            job_variables={"stream_output": False, **_WITH_CHECKOUT},
        )
        return cls(home, client, gate, story, node)

    @property
    def cloud(self) -> LocalCloud:
        return LocalCloud(folder=str(self.home.machines))

    def start(self, count: int) -> None:
        for _ in range(count):
            self.jobs.append(self.client.create_flow_run_from_deployment(self.story, state=Scheduled()).id)

    def open_gate(self) -> None:
        self.gate.touch()

    def at_the_gate(self) -> int:
        """Return the number of node runs that wait at the gate."""
        return len(list(Path(f"{self.gate}-keeper").glob("sw-*")))

    def states(self) -> Counter[str]:
        """Return the number of jobs by state name."""
        return Counter(str(run.state_name) for run in self.runs(self.story))

    def ended(self) -> int:
        return sum(1 for run in self.runs(self.story) if run.state is not None and run.state.is_final())

    def runs(self, deployment: UUID, state: str | None = None) -> list[FlowRun]:
        wanted = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[state])) if state else None,
        )
        found: list[FlowRun] = []
        while page := self.client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found)):
            found += page
            if len(page) < _PAGE:
                break
        return found

    def results(self) -> list[dict[str, Any]]:
        """Return the results of the jobs whose results were collected."""
        paths = [self.home.results / job_key_of(job) / "result.json" for job in self.jobs]
        return [json.loads(path.read_text()) for path in paths if path.exists()]

    def together(self) -> int:
        """Return the maximum number of simultaneous node runs, according to their own start and end times."""
        moments = [(one["began"], 1) for one in self.results()] + [(one["ended"], -1) for one in self.results()]
        most = now = 0
        for _, step in sorted(moments):
            now += step
            most = max(most, now)
        return most

    def faults(self) -> list[str]:
        """Return a line for each lost, duplicated or left-over item; empty if there is none."""
        stories = {run.id: run for run in self.runs(self.story)}
        nodes = Counter(next(tag for tag in run.tags if tag.startswith("sw-")) for run in self.runs(self.node))
        completed = Counter(
            next(tag for tag in run.tags if tag.startswith("sw-")) for run in self.runs(self.node, "Completed")
        )
        found = [] if len(stories) == len(self.jobs) else [f"{len(stories)} runs of {len(self.jobs)} jobs"]
        for job in self.jobs:
            key = job_key_of(job)
            finals = [state for state in self.client.read_flow_run_states(job) if state.is_final()]
            machines = len(list(self.home.machines.glob(f"{key}-*")))
            counts = (nodes[key], completed[key], machines, stories[job].run_count)
            if [state.name for state in finals] != ["Completed"] or counts != (1, 1, 1, 1):
                how = " then ".join(map(_described, finals)) or str(stories[job].state_name)
                found.append(
                    f"{key} ended as {how}; the numbers of node runs, completed node runs, machines and starts are "
                    f"{counts}, not 1 each"
                )
        if len(self.results()) != len(self.jobs):
            found.append(f"{len(self.results())} results of {len(self.jobs)} jobs")
        found += [f"machine left over: {machine.id}" for machine in self.cloud.find()]
        found += [f"process left over: {process.pid}" for process in marked(self.home.path, machines=True)]
        queues = self.client.read_work_queues(work_pool_name=MACHINES_POOL, limit=_PAGE)
        return found + [f"queue left over: {queue.name}" for queue in queues if queue.name.startswith("sw-")]


def _described(state: State[Any]) -> str:
    return str(state.name) if state.is_completed() else f"{state.name} ({state.message})"


def limit(client: SyncPrefectClient, jobs: int) -> None:
    """Set the limit of concurrent jobs, also to values for SQLite that `up` rejects."""
    client.update_work_pool(CONTROLLER_POOL, WorkPoolUpdate(concurrency_limit=jobs + 2))
    client.update_work_pool(MACHINES_POOL, WorkPoolUpdate(concurrency_limit=jobs))
    queue = client.read_work_queue_by_name(JOBS_QUEUE, work_pool_name=CONTROLLER_POOL)
    client.update_work_queue(queue.id, concurrency_limit=jobs)


@contextmanager
def brought_up(home: Home, settings: Mapping[str, str]) -> Iterator[Api]:
    """Run `spotwave up` in the home with these settings in its environment; end everything afterwards."""
    home.create()
    (home.run / "port").write_text("0")
    try:
        spotwave(home, "up", settings)
        url = server.own_url(home)
        assert url is not None
        api = Api(url, embedded=True)
        with api.in_use(home):
            LocalCloud(pretend_vcpus=MANY_VCPUS).save("here", overwrite=True)  # a machine for every job of the crowd
            yield api
    finally:
        spotwave(home, "down", settings)
        for process in marked(home.path, machines=True):
            process.kill()


def spotwave(home: Home, command: str, settings: Mapping[str, str]) -> str:
    """Run the console command for the home and return its output. Raises CalledProcessError."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    environment = {**inherited, "PREFECT_HOME": str(home.path / "user"), "PREFECT_API_URL": "", **settings}
    done = subprocess.run(
        [sys.executable, "-m", "spotwave.deployments.cli", command],
        cwd=home.path,
        env={**environment, "SPOTWAVE_HOME": str(home.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_UP_S,
    )
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def until(
    what: str, look: Callable[[], bool], within_s: float, hopeless: Callable[[], bool], every_s: float = 2.0
) -> bool:
    """Wait until `look` is true; return False, with a message, after `within_s` seconds or if `hopeless` is true.

    Failed calls of the API are ignored.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not hopeless():
        with suppress(httpx.HTTPError, PrefectHTTPStatusError):
            if look():
                return True
        time.sleep(every_s)
    print(f"not reached: {what}", file=sys.stderr)
    return False
