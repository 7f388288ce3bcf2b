"""Steps of the reaper: find what carries Spotwave's tag, decide whether it is still needed, and remove it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from pydantic import BaseModel, ConfigDict

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Leftover, Machine
from spotwave.node.contract import job_key_of
from spotwave.tasks import api
from spotwave.tasks.cost import billing_record
from spotwave.tasks.load_blocks import all_clouds, load_cloud
from spotwave.tasks.run_status import RunStatus, status_of

GRACE = timedelta(minutes=2)  # a machine may be listed before its job is recorded
ABANDONED = timedelta(hours=1)  # reconcile restarts a crashed job long before that
OVERDUE = timedelta(minutes=10)  # time that a machine may take to stop itself after its deadline


class Orphan(BaseModel):
    """A machine or leftover of Spotwave, the Cloud document that lists it, and why it should be removed."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    thing: Machine | Leftover
    reason: str | None  #: None: it is or may be needed

    @property
    def kind(self) -> str:
        return self.thing.kind if isinstance(self.thing, Leftover) else "machine"

    @property
    def usd_h(self) -> float | None:
        """Price of a machine. Leftovers are billed too, at prices that are not in their tags."""
        return self.thing.usd_h if isinstance(self.thing, Machine) else None

    @property
    def where(self) -> str:
        return f"{self.thing.cloud} {self.thing.zone or self.thing.region}".strip()


class Survey(BaseModel):
    """Everything created by Spotwave, and the Cloud documents that could not be queried and may hold more."""

    model_config = ConfigDict(frozen=True)

    things: list[Orphan]
    silent: dict[str, str]

    @property
    def forgotten(self) -> list[Orphan]:
        return [thing for thing in self.things if thing.reason is not None]


def survey() -> Survey:
    """List the resources of every cloud that has a usable block, in every region."""
    prefect = api.client()
    things: list[Orphan] = []
    seen: set[tuple[str, str, str]] = set()  # an account may be saved in two documents
    clouds = all_clouds()
    silent = dict(clouds.broken)
    for name, cloud in clouds.usable.items():
        try:
            found: list[Machine | Leftover] = [*cloud.find(), *cloud.leftovers()]
        except LaunchRefused as refused:
            silent[name] = refused.reason
            continue
        for thing in found:
            one = Orphan(cloud=name, thing=thing, reason=unwanted(prefect, thing))
            key = (one.where, one.kind, thing.id)
            if key not in seen:
                seen.add(key)
                things.append(one)
    return Survey(things=things, silent=silent)


@task(name="remove", retries=3, retry_delay_seconds=[2, 10, 30])
def remove(forgotten: Orphan) -> None:
    """Delete the resource with all that is billed with it; for a machine, also clean up its attempt in Prefect."""
    cloud: Cloud = load_cloud(forgotten.cloud)
    thing = forgotten.thing
    if isinstance(thing, Leftover):
        cloud.remove(thing)
        return
    prefect = api.client()
    cloud.terminate(thing)
    for run in _runs_of(prefect, thing.job_key):
        if run.name == f"attempt-{thing.attempt}" and run.parent_task_run_id is not None:
            api.settle_node_run(prefect, run.id, cancelled=False, reason=f"machine {thing.id} was reaped")
    api.remove_queue_and_worker(prefect, thing.name)


def unwanted(prefect: SyncPrefectClient, thing: Machine | Leftover) -> str | None:
    """Return why the resource is not needed, or None.

    A job that is unknown to this Prefect may belong to another controller in the same account. Its machine is left
    alone until its deadline, and resources without a deadline are never removed.
    """
    now = api.now()
    born = thing.launched_at if isinstance(thing, Machine) else thing.created_at
    if born is not None and now - born < GRACE:
        return None
    if thing.deadline is not None and now - datetime.fromtimestamp(thing.deadline, UTC) > OVERDUE:
        return "its deadline has passed"
    runs = _runs_of(prefect, thing.job_key)
    # By the run's own id: the runs of a deleted job's attempts still exist, but without their parent.
    run = next((run for run in runs if job_key_of(run.id) == thing.job_key), None)
    if run is None:
        # The attempts, or the billing record on this computer, prove that the job was this controller's.
        deleted = bool(runs) or billing_record.read(thing.job_key) is not None
        return f"job {thing.job_key} was deleted" if deleted else None
    status, age = status_of(run), now - run.state.timestamp if run.state is not None else timedelta(0)
    crashed = run.state is not None and run.state.type is StateType.CRASHED
    given_up = status is RunStatus.ENDED or (crashed and age >= ABANDONED)
    # The engine of a suspended run has the machine save and terminates it within a minute or two.
    if given_up or (status is RunStatus.SUSPENDED and age >= OVERDUE):
        return f"job {thing.job_key} is {run.state.name if run.state is not None else 'without a state'}"
    return None


def _runs_of(prefect: SyncPrefectClient, job_key: str) -> list[FlowRun]:
    return prefect.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[job_key])))
