"""The drill flow: have a cloud interrupt a small machine, and check that the next machine continues its work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from prefect.logging import get_run_logger
from pydantic import BaseModel, Field

from spotwave.flows.loop.run_job import Done, JobFailed, RunningAttempt
from spotwave.flows.loop.story import Needs, Preset, Row, Story
from spotwave.flows.loop.story_flow import story_flow
from spotwave.tasks.drill.estimate import DrillEstimate, NoDrill, estimate
from spotwave.tasks.drill.interrupt import ForcedInterruption, force_interruption, remains
from spotwave.tasks.drill.report import REPORT_KEY, DrillOutcome, drill_report, legs_of
from spotwave.tasks.records import Job

__all__ = ["MINUTES", "REPORT_KEY", "DrillEstimate", "NoDrill", "drill", "estimate"]

MINUTES = 60.0
MOST_MACHINES = 3  # the one that is interrupted, the one that continues, and one spare for an unforced interruption
WORK_CORE_H = 0.1  # the job only waits


class DrillInput(BaseModel):
    """Parameters of a drill."""

    cloud: str = Field("local-cloud/here", description="The Cloud block to rehearse on.")
    minutes: float = Field(MINUTES, description="Time limit of all machines together, one after the other; minutes.")
    max_usd_h: float | None = Field(
        None,
        description="Highest spot price to accept, USD/h. Setting it approves the resulting cost. Empty: about the "
        "price of the tenth cheapest pool.",
    )


class Drill(Story[DrillInput]):
    """Rehearse an interruption: rent the smallest machine, have the cloud take it back, and check that the next machine
    continues from its checkpoint and that nothing is left behind. `spotwave drill` shows the cost first.

    Ends as Failed with a one-line reason if any check fails. The artifact `drill` has times and costs either way.
    """

    name: ClassVar[str] = "drill"
    Input = DrillInput
    options: ClassVar[Sequence[str]] = ("remote", "access", "store", "budget")
    remembers_losses: ClassVar[bool] = False  # the cloud took the machine back because the drill asked it to
    tags: ClassVar[Sequence[str]] = ("drill",)
    presets: ClassVar[Sequence[Preset]] = (
        Preset(
            "here",
            "An interruption drill: rents the smallest machine, has the cloud take it back, and checks that the next "
            "machine continues the work and that nothing is left behind. `spotwave drill` shows the cost first.",
        ),
    )

    def __init__(self) -> None:
        self._estimate: DrillEstimate | None = None
        self._forced: ForcedInterruption | None = None
        self._left: list[str] = []
        self._clean_at: datetime | None = None

    def check(self, given: DrillInput) -> Needs:
        return Needs(parameters={}, results_gib=0.001)

    def job(self, given: DrillInput, job: Job) -> Job:
        """Return the job with the drill's limits, from the cloud's current prices."""
        try:
            most = estimate(given.cloud, given.minutes, job.store)
            if given.max_usd_h is not None:
                most = most.capped(given.max_usd_h)
        except NoDrill as error:
            raise JobFailed(str(error)) from error
        get_run_logger().info(most.line)
        self._estimate = most
        return job.model_copy(
            update={
                "parameters": {"wait_s": most.wait_s},
                "requirements": most.requirements,
                "clouds": [most.cloud],
                "objective": "price",
                "work_core_h": WORK_CORE_H,
                "sync_s": 60.0,
                "max_hours": most.minutes / 60,
                "max_attempts": MOST_MACHINES,
                "wait_hours": 0.0,  # a user is watching
                "max_usd": most.machines_usd or None,
                "project": "drill",
                "approved": given.max_usd_h is not None,
            }
        )

    def on_attempt_started(self, job: Job, attempt: RunningAttempt) -> None:
        """Force one interruption. The task's result is persisted, so a restarted run does not force a second one."""
        if self._forced is not None:
            return
        self._forced = force_interruption(job, attempt.machine, attempt.cloud, attempt.lease_id, attempt.node_run_id)
        if self._forced is not None and self._forced.refused is not None:
            raise JobFailed(f"the cloud refused to interrupt the machine: {self._forced.refused}")

    def on_machines_gone(self, job: Job) -> None:
        self._left, self._clean_at = remains(job)

    def conclude(self, job: Job, done: Done, result: Mapping[str, Any]) -> str | None:
        """Write the report; return why the drill failed, or None if it passed."""
        assert self._estimate is not None
        assert self._clean_at is not None
        drilled = DrillOutcome(
            promise=self._estimate,
            attempts=done.attempts,
            legs=legs_of(done.attempts, job.results),
            forced=self._forced,
            result=dict(result),
            left=self._left,
            clean_at=self._clean_at,
        )
        drill_report(drilled, job.results)
        return drilled.problem

    def same_work(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Return False: a drill never continues an earlier one."""
        return False

    def summary(self, result: Mapping[str, Any]) -> Sequence[Row]:
        return [("counted", f"{result.get('seconds', 0)} s"), ("resumed from", str(result.get("resumed_from")))]


drill = story_flow(Drill)
