"""Calls to the Prefect API beyond artifacts: an attempt's lease, queue, worker and node run."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import Artifact, FlowRun, State, StateType, Worker, WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Crashed

from spotwave.node.contract import MACHINES_POOL, Lease
from spotwave.node.identity import node_name
from spotwave.tasks.batch import MOST, Batch

MOST_WORKERS = 10_000  # of the machines' pool that are read: far more than machines at once


def client() -> SyncPrefectClient:
    """Return the controller's client, as configured by its profile or environment."""
    return get_client(sync_client=True)


def create_lease(api: SyncPrefectClient, job_key: str, attempt: int, flow_run_id: UUID, node: int = 0) -> str:
    """Create the artifact that the agent of this node renews; return its id."""
    name = node_name(job_key, attempt, node)
    artifact = api.create_artifact(
        ArtifactCreate(
            key=f"lease-{name}",
            type="markdown",
            description=f"Heartbeat of machine {name}",
            data="not yet seen",
            flow_run_id=flow_run_id,
        )
    )
    return str(artifact.id)


def read_lease(api: SyncPrefectClient, lease_id: str) -> Lease | None:
    """Return the newest lease, or None if the agent has not reported yet.

    Raises ObjectNotFound if the artifact is gone.
    """
    found = _artifacts.get(api, UUID(lease_id))
    if found is None:
        raise ObjectNotFound(http_exc=LookupError(f"lease {lease_id} is gone"))
    return Lease.from_metadata(found.metadata_)


def _read_artifacts(api: SyncPrefectClient, ids: list[UUID]) -> dict[UUID, Artifact]:
    found = api.read_artifacts(artifact_filter=ArtifactFilter(id=ArtifactFilterId(any_=ids)), limit=len(ids))
    return {one.id: one for one in found}


_artifacts = Batch(_read_artifacts)


def fence(api: SyncPrefectClient, lease_id: str) -> None:
    """Delete the lease. An agent that was only unreachable then stops itself. Safe to repeat."""
    try:
        api.delete_artifact(UUID(lease_id))
    except ObjectNotFound:
        return


def worker_is_online(api: SyncPrefectClient, name: str) -> bool:
    """Whether the machine's Prefect worker polls its queue."""
    return _online_workers.get(api, name) is not None


def _read_online_workers(api: SyncPrefectClient, names: list[str]) -> dict[str, Worker]:
    found: dict[str, Worker] = {}
    for start in range(0, MOST_WORKERS, MOST):
        page = api.read_workers_for_work_pool(MACHINES_POOL, offset=start, limit=MOST)
        found |= {one.name: one for one in page if one.status == WorkerStatus.ONLINE}
        if len(page) < MOST:
            break
    return found


_online_workers = Batch(_read_online_workers)


def newest_run(api: SyncPrefectClient, flow_run_id: UUID) -> FlowRun | None:
    """Return the run; None if it was deleted. For loops: jobs that ask at the same time share a request."""
    return _runs.get(api, flow_run_id)


def _read_runs(api: SyncPrefectClient, ids: list[UUID]) -> dict[UUID, FlowRun]:
    found = api.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)), limit=len(ids))
    return {one.id: one for one in found}


_runs = Batch(_read_runs)


def settle_node_run(
    api: SyncPrefectClient, node_run_id: UUID, *, cancelled: bool, reason: str, completed: bool = True
) -> None:
    """Set a final state on a node run whose machine is gone; nothing else would.

    completed: whether a reported completion is accepted; the results may have been lost with the machine.
    """
    try:
        run = api.read_flow_run(node_run_id)
    except ObjectNotFound:
        return  # deleted by a user
    if is_final(run) and (completed or run.state_type is not StateType.COMPLETED):
        return
    state: State[None] = Cancelled(message=reason) if cancelled else Crashed(message=reason, name="Lost")
    api.set_flow_run_state(node_run_id, state, force=True)


def is_final(run: FlowRun) -> bool:
    """Whether the run is Completed, Failed, Crashed or Cancelled."""
    return run.state is not None and run.state.is_final()


def remove_queue_and_worker(api: SyncPrefectClient, name: str) -> None:
    """Delete the attempt's queue and worker in the machines' pool. Safe to repeat."""
    try:
        queue = api.read_work_queue_by_name(name, work_pool_name=MACHINES_POOL)
        api.delete_work_queue_by_id(queue.id)
    except ObjectNotFound:
        pass
    try:
        api.request(
            "DELETE",
            "/work_pools/{work_pool_name}/workers/{name}",
            path_params={"work_pool_name": MACHINES_POOL, "name": name},
        )
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise


def now() -> datetime:
    return datetime.now(UTC)


def tag_run(api: SyncPrefectClient, flow_run_id: UUID, tag: str) -> None:
    """Add a tag to a run, so that it can be found by its job key."""
    tags = set(api.read_flow_run(flow_run_id).tags)
    if tag not in tags:
        api.update_flow_run(flow_run_id, tags=sorted(tags | {tag}))
