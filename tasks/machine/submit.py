"""Step: submit the node flow to the attempt's machine.

Not a task but a call in the flow itself, so that the attempt is a child run of its own in the run's graph.
"""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment

from spotwave.node.contract import attempt_name
from spotwave.tasks import api
from spotwave.tasks.machine.channel import channel_of
from spotwave.tasks.records import Job


def submit(job: Job, attempt: int) -> UUID:
    """Create the attempt's node run in the machine's own queue unless it exists, and deliver it; return its id."""
    name = attempt_name(job.key, attempt)
    # Looked up first: a second call of run_deployment returns the same run, but leaves an orphaned node in the graph.
    run_id = _existing(api.client(), name) or _created(job, attempt, name)
    channel_of(job, attempt).deliver_run(run_id)
    return run_id


def _created(job: Job, attempt: int, name: str) -> UUID:
    run = run_deployment(
        job.node,
        parameters={"job_key": job.key, "attempt": attempt, **job.parameters},
        flow_run_name=f"attempt-{attempt}",
        work_queue_name=name,
        idempotency_key=name,
        tags=[job.key],
        timeout=0,
    )
    assert isinstance(run, FlowRun)  # not a coroutine: this is not an async context
    return run.id


def _existing(prefect: SyncPrefectClient, key: str) -> UUID | None:
    wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
    found = prefect.read_flow_runs(flow_run_filter=wanted, limit=1)
    return found[0].id if found else None
