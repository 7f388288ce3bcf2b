"""The story of what was forgotten: a machine whose job has ended is terminated, on every cloud that has a block."""

from __future__ import annotations

from datetime import timedelta

from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.logging import get_run_logger

from blocks.cloud import Cloud, Machine
from tasks import api
from tasks.documents import all_clouds

GRACE = timedelta(minutes=2)  # a machine may be younger than the record of its job
ABANDONED = timedelta(hours=1)  # a crashed job is taken up by reconcile long before


@flow(name="reap")
def reap() -> list[str]:
    """Terminate every machine that no living job wants; their ids."""
    prefect = api.client()
    log = get_run_logger()
    reaped: list[str] = []
    clouds = all_clouds()
    for why in clouds.broken.values():
        log.error("%s; machines may run there unseen", why)
    for name, cloud in clouds.usable.items():
        for machine in cloud.find():
            reason = _unwanted(prefect, machine)
            if reason is None:
                log.info("%s on %s is wanted", machine.id, name)
            else:
                log.warning("%s on %s: %s; terminated", machine.id, name, reason)
                remove(cloud, machine)
                reaped.append(machine.id)
    if not reaped:
        log.info("nothing to reap")
    return reaped


@task(name="remove", retries=3, retry_delay_seconds=[2, 10, 30])
def remove(cloud: Cloud, machine: Machine) -> None:
    """Terminate the machine, and settle and delete what its attempt left in Prefect."""
    prefect = api.client()
    cloud.terminate(machine)
    for run in _runs_of(prefect, machine.job_key):
        if run.name == f"attempt-{machine.attempt}" and run.parent_task_run_id is not None:
            api.settle_node_run(prefect, run.id, cancelled=False, reason=f"machine {machine.id} was reaped")
    api.remove_queue_and_worker(prefect, machine.name)


def _unwanted(prefect: SyncPrefectClient, machine: Machine) -> str | None:
    """Why nobody wants this machine, or None."""
    age = api.now() - machine.launched_at
    if age < GRACE:
        return None
    parents = [run for run in _runs_of(prefect, machine.job_key) if run.parent_task_run_id is None]
    if not parents:
        return f"no run of job {machine.job_key} is known"
    state = parents[0].state
    if state is None or not state.is_final():
        return None
    if state.type is StateType.CRASHED and api.now() - state.timestamp < ABANDONED:
        return None
    return f"job {machine.job_key} is {state.name}"


def _runs_of(prefect: SyncPrefectClient, job_key: str) -> list[FlowRun]:
    return prefect.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[job_key])))
