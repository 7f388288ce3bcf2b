"""The story of a drill: a small machine on a cloud is taken back on purpose, and the work must go on on the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Failed
from pydantic import Field

from spotwave.blocks.home import ENV_RESULTS
from spotwave.flows.loop.parameter_docs import described
from spotwave.flows.loop.run_end import respects_outside_state
from spotwave.flows.loop.run_job import JobFailed, RunningAttempt, run_job
from spotwave.node.contract import job_key_of
from spotwave.tasks.check import check_job
from spotwave.tasks.drill.estimate import DrillEstimate, NoDrill, estimate
from spotwave.tasks.drill.interrupt import ForcedInterruption, force_interruption, remains
from spotwave.tasks.drill.report import REPORT_KEY, DrillOutcome, drill_report, legs_of
from spotwave.tasks.records import Job
from spotwave.tasks.results.collect import NoResult, collect
from spotwave.tasks.results.fetch import NoRoom

__all__ = ["MINUTES", "REPORT_KEY", "DrillEstimate", "NoDrill", "drill", "estimate"]

MINUTES = 60.0
MOST_MACHINES = 3  # the one that is taken back, the one that goes on, and one that luck may cost
STORE = "snapshot-store/here"


@flow(name="drill", log_prints=False)
@described
@respects_outside_state
def drill(
    cloud: Annotated[str, Field(description="The Cloud block to rehearse on.")] = "local-cloud/here",
    minutes: Annotated[
        float, Field(description="For all machines together, one after the other; none outlives it.")
    ] = MINUTES,
    max_usd_h: Annotated[
        float | None,
        Field(
            description="The dearest spot price to take, USD/h; giving it approves what follows from it. Empty: about "
            "the tenth cheapest pool's."
        ),
    ] = None,
    remote: Annotated[str, Field(description="The rclone remote block.")] = "rclone-remote/here",
    access: Annotated[
        str, Field(description="The block that says how a machine reaches the Prefect API.")
    ] = "prefect-access/here",
    store: Annotated[str, Field(description="The snapshot store.")] = STORE,
    budget: Annotated[
        str | None, Field(description="The Budget block: limits by month and project, approval. Empty: none.")
    ] = "budget/here",
) -> dict[str, Any] | State[Any]:
    """Rehearse an interruption: rent the smallest machine, have the cloud take it back, see the next one go on from
    its checkpoint, and that nothing is left. `spotwave drill` tells first what it will cost.

    Ends as Failed with one line where that was not seen; the artifact `drill` has times and costs either way.
    """
    try:
        most = estimate(cloud, minutes, store)
        if max_usd_h is not None:
            most = most.capped(max_usd_h)
        get_run_logger().info(most.line)
        job = _job(most, remote, access, store, budget, agreed=max_usd_h is not None)
        if (problem := check_job(job, [])) is not None:
            return _refused(problem)
        forcing = _Forcing(job)
        done = run_job(job, on_attempt_started=forcing)
    except (NoDrill, JobFailed) as error:
        return _refused(str(error))
    left, clean_at = remains(job)
    try:
        result = collect(job, done.attempts, done.quote)
    except (NoResult, NoRoom) as error:
        return _refused(str(error))
    drilled = DrillOutcome(
        promise=most,
        attempts=done.attempts,
        legs=legs_of(done.attempts, job.results),
        forced=forcing.forced,
        result=result,
        left=left,
        clean_at=clean_at,
    )
    drill_report(drilled, job.results)
    return _refused(drilled.problem) if drilled.problem else result


class _Forcing:
    """Called once an attempt; what it does is kept by its task, so that a restarted run does not do it again."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.forced: ForcedInterruption | None = None

    def __call__(self, attempt: RunningAttempt) -> None:
        """Raises JobFailed if the cloud refuses: then there is nothing to see."""
        if self.forced is not None:
            return
        self.forced = force_interruption(
            self._job, attempt.machine, attempt.cloud, attempt.lease_id, attempt.node_run_id
        )
        if self.forced is not None and self.forced.refused is not None:
            raise JobFailed(f"the cloud would not interrupt the machine: {self.forced.refused}")


def _job(most: DrillEstimate, remote: str, access: str, store: str, budget: str | None, agreed: bool) -> Job:
    key = job_key_of(UUID(flow_run.id))
    return Job(
        key=key,
        flow_run_id=UUID(flow_run.id),
        node="drill-node/machine",
        parameters={"wait_s": most.wait_s},
        requirements=most.requirements,
        clouds=[most.cloud],
        remote=remote,
        access=access,
        store=store,
        objective="price",
        work_core_h=0.1,  # it only waits
        results_gib=0.001,
        sync_s=60.0,
        max_hours=most.minutes / 60,
        max_attempts=MOST_MACHINES,
        wait_hours=0.0,  # somebody watches it
        max_usd=most.machines_usd or None,
        project="drill",
        budget=budget,
        approved=agreed,
        results=Path(os.environ.get(ENV_RESULTS, "results")).absolute() / key,
    )


def _refused(reason: str) -> State[Any]:
    """A Failed state whose message is the line itself."""
    get_run_logger().error(reason)
    return Failed(message=reason)
