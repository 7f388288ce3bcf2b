"""Measures `engine_overhead`: the time from `deployment run` until hartree_fock runs, divided by the sum of the minimal
start-up times of the necessary parts. Both are measured in this run, with a separate embedded server.

    python -m benchmarks.engine_overhead
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags, TaskRunFilter, TaskRunFilterFlowRunId
from prefect.states import Scheduled

from benchmarks._own_home import first, own_home, quiet
from spotwave.deployments.api import Api
from spotwave.deployments.up import up
from spotwave.node.contract import job_key_of

RUNS = 3
# The parts that must start one after the other; each is measured as a process that only imports what it needs.
PARTS = {
    "controller engine": [sys.executable, "-c", "import prefect.flow_engine, spotwave.flows.shci"],
    "agent": [sys.executable, "-c", "import spotwave.node.agent.agent"],
    "machine's worker": [sys.executable, "-c", "import prefect.cli, prefect.workers.process"],
    "node engine": [sys.executable, "-c", "import prefect.flow_engine, spotwave.node.jobs.shci.flow"],
}


def seconds_of(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def bare() -> float:
    """Return the sum of the parts' start-up times, each the median of RUNS."""
    total = 0.0
    for name, command in PARTS.items():
        seconds = median(seconds_of(command) for _ in range(RUNS))
        print(f"  {name}: {seconds:.2f} s", file=sys.stderr)
        total += seconds
    return total


def to_hartree_fock(client: SyncPrefectClient) -> float:
    """Return the seconds from the creation of the run to the start of its hartree_fock, as recorded by the server."""
    deployment = client.read_deployment_by_name("shci/water-dimer")
    run = client.create_flow_run_from_deployment(deployment.id, parameters={"basis": "sto-3g"}, state=Scheduled())
    assert run.created is not None

    def started() -> float | None:
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[job_key_of(run.id)]))
        for node_run in client.read_flow_runs(flow_run_filter=tagged):
            if node_run.parent_task_run_id is None:
                continue
            tasks = client.read_task_runs(
                task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[node_run.id]))
            )
            for task in tasks:
                if task.name.startswith("hartree_fock") and task.start_time is not None:
                    return (task.start_time - run.created).total_seconds()  # type: ignore[operator]
        return None

    seconds = float(first("hartree_fock runs", started))
    first("the run ends", lambda: (state := client.read_flow_run(run.id).state) is not None and state.is_final())
    return seconds


def main() -> None:
    with own_home() as home:
        api: Api = up(home, quiet, reconcile=False).api
        with api.in_use(home), get_client(sync_client=True) as client:
            to_hartree_fock(client)  # warm up the page cache and compile byte code
            seconds = median(to_hartree_fock(client) for _ in range(RUNS))
    parts = bare()
    print(f"engine_seconds {seconds:.2f}")
    print(f"engine_parts_seconds {parts:.2f}")
    print(f"engine_overhead {seconds / parts:.2f}")


if __name__ == "__main__":
    main()
