"""The story of a drill: a small machine on a cloud is taken back on purpose, and the work must go on on the next."""

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
MOST_MACHINES = 3  # the one that is taken back, the one that goes on, and one that luck may cost
WORK_CORE_H = 0.1  # it only waits


class DrillInput(BaseModel):
    """What a drill is asked."""

    cloud: str = Field("local-cloud/here", description="The Cloud block to rehearse on.")
    minutes: float = Field(MINUTES, description="For all machines together, one after the other; none outlives it.")
    max_usd_h: float | None = Field(
        None,
        description="The dearest spot price to take, USD/h; giving it approves what follows from it. Empty: about "
        "the tenth cheapest pool's.",
    )


class Drill(Story[DrillInput]):
    """Rehearse an interruption: rent the smallest machine, have the cloud take it back, see the next one go on from
    its checkpoint, and that nothing is left. `spotwave drill` tells first what it will cost.

    Ends as Failed with one line where that was not seen; the artifact `drill` has times and costs either way.
    """

    name: ClassVar[str] = "drill"
    Input = DrillInput
    options: ClassVar[Sequence[str]] = ("remote", "access", "store", "budget")
    remembers_losses: ClassVar[bool] = False  # the cloud took the machine back because we asked it to
    tags: ClassVar[Sequence[str]] = ("drill",)
    presets: ClassVar[Sequence[Preset]] = (
        Preset(
            "here",
            "An interruption drill: rents the smallest machine, has the cloud take it back, and shows that the work "
            "goes on on the next and that nothing is left. `spotwave drill` tells first what it will cost.",
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
        """Asks the cloud for its prices."""
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
                "wait_hours": 0.0,  # somebody watches it
                "max_usd": most.machines_usd or None,
                "project": "drill",
                "approved": given.max_usd_h is not None,
            }
        )

    def on_attempt_started(self, job: Job, attempt: RunningAttempt) -> None:
        """Force one interruption; what that step did is kept, so that a restarted run does not do it again."""
        if self._forced is not None:
            return
        self._forced = force_interruption(job, attempt.machine, attempt.cloud, attempt.lease_id, attempt.node_run_id)
        if self._forced is not None and self._forced.refused is not None:
            raise JobFailed(f"the cloud would not interrupt the machine: {self._forced.refused}")

    def on_machines_gone(self, job: Job) -> None:
        self._left, self._clean_at = remains(job)

    def conclude(self, job: Job, done: Done, result: Mapping[str, Any]) -> str | None:
        """The report, and why the drill has not passed."""
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
        """A drill continues no earlier one."""
        return False

    def summary(self, result: Mapping[str, Any]) -> Sequence[Row]:
        return [("counted", f"{result.get('seconds', 0)} s"), ("resumed from", str(result.get("resumed_from")))]


drill = story_flow(Drill)
