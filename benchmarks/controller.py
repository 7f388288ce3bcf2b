"""Measures what a waiting job costs the controller: memory, CPU to start it, and CPU per hour; and `up` on a warm home.

    python -m benchmarks.controller --jobs 20

The jobs are real runs of shci/water-dimer on the local cloud, whose only offer is above their price limit, so that they
wait for a better one. They start at once on an embedded server with SQLite of its own. Memory is private memory (USS).
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.states import Cancelled, Scheduled

from benchmarks._own_home import first, own_home, quiet
from spotwave.blocks.local.block import LocalCloud
from spotwave.deployments import server, worker
from spotwave.deployments.down import down
from spotwave.deployments.home import Home
from spotwave.deployments.up import up
from spotwave.node.contract import CONTROLLER_POOL

HOLD_S = 120.0
START_S = 600.0


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def mib(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / (1 << 20)


def start(client: SyncPrefectClient, count: int) -> list[Any]:
    deployment = client.read_deployment_by_name("shci/water-dimer")
    parameters = {"clouds": ["local-cloud/dear"], "requirements": {"max_usd_h": 0.01}, "basis": "sto-3g"}
    return [
        client.create_flow_run_from_deployment(deployment.id, parameters=parameters, state=Scheduled()).id
        for _ in range(count)
    ]


def waiting(client: SyncPrefectClient, ids: list[Any]) -> int:
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)), limit=200)
    ended = [run.state for run in found if run.state is not None and run.state.is_final()]
    if ended:
        sys.exit(f"a job ended instead of waiting: {ended[0]}")
    return sum(run.state_name == "Waiting" for run in found)


def measured(home: Home, client: SyncPrefectClient, count: int) -> None:
    """Start the jobs, hold them, and print the figures. The first job is not measured: it imports the story."""
    client.update_work_pool(CONTROLLER_POOL, WorkPoolUpdate(concurrency_limit=count + 8))
    queue = client.read_work_queue_by_name("jobs", work_pool_name=CONTROLLER_POOL)
    client.update_work_queue(queue.id, concurrency_limit=count + 4)
    notes = {"controller": worker.running(home), "server": server.running(home)}
    processes = {name: psutil.Process(note.pid) for name, note in notes.items() if note is not None}
    warm = start(client, 1)
    first("the first job waits", lambda: waiting(client, warm) == 1, START_S, 1.0)
    before = {name: (cpu_s(one), mib(one)) for name, one in processes.items()}
    begun = time.monotonic()
    ids = start(client, count)
    first("all jobs wait", lambda: waiting(client, ids) == count, START_S, 1.0)
    took = time.monotonic() - begun
    started = {name: (cpu_s(one), mib(one)) for name, one in processes.items()}
    time.sleep(HOLD_S)
    held = {name: cpu_s(one) for name, one in processes.items()}
    for run_id in [*warm, *ids]:
        client.set_flow_run_state(run_id, Cancelled(), force=True)
    print(f"controller_jobs {count}")
    print(f"controller_start_s {took:.1f}")
    for name in processes:
        print(f"{name}_mib_per_job {(started[name][1] - before[name][1]) / count:.2f}")
        print(f"{name}_cpu_s_per_job {(started[name][0] - before[name][0]) / count:.2f}")
        print(f"{name}_cpu_s_per_job_h {(held[name] - started[name][0]) / count * 3600 / HOLD_S:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20, help="number of jobs that wait at once")
    asked = parser.parse_args()
    with own_home() as home:
        up(home, quiet)
        down(home, quiet)
        begun = time.perf_counter()
        api = up(home, quiet).api
        print(f"up_s {time.perf_counter() - begun:.1f}")
        with api.in_use(home), get_client(sync_client=True) as client:
            LocalCloud(folder=str(home.machines), prices={"local-1": 1.0, "local-2": 1.0}).save("dear")
            measured(home, client, asked.jobs)


if __name__ == "__main__":
    main()
