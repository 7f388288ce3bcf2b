"""Step: report what a drill has shown, with times and costs: the artifact `drill`, and drill.md in the results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, ConfigDict

from spotwave.node.contract import OUTCOME_FILE, Outcome, attempt_dir
from spotwave.node.untrusted.plain_text import markdown
from spotwave.tasks import api
from spotwave.tasks.drill.estimate import DrillEstimate
from spotwave.tasks.drill.interrupt import ForcedInterruption
from spotwave.tasks.records import Attempt

REPORT_FILE = "drill.md"
REPORT_KEY = "drill"


class Leg(BaseModel):
    """The times of one attempt; None for what was never reached."""

    model_config = ConfigDict(frozen=True)

    launched_at: datetime
    working_at: datetime | None  #: start of its node run
    finished_at: datetime | None  #: end of its node run
    gone_at: datetime
    saved_in_s: float | None  #: from the notice, or the order to shut down, to a last checkpoint on the remote


def legs_of(attempts: list[Attempt], results: Path) -> list[Leg]:
    """Return the times of the attempts. results: folder with the attempts' collected files."""
    prefect, legs = api.client(), []
    for attempt in attempts:
        run = prefect.read_flow_run(attempt.node_run_id) if attempt.node_run_id is not None else None
        outcome = collected_outcome(results / attempt_dir(attempt.number)) or attempt.outcome
        legs.append(
            Leg(
                launched_at=attempt.machine.launched_at,
                working_at=run.start_time if run is not None else None,
                finished_at=run.end_time if run is not None else None,
                gone_at=attempt.ended_at,
                saved_in_s=outcome.saved_in_s,
            )
        )
    return legs


def collected_outcome(folder: Path) -> Outcome | None:
    """Return the agent's own last outcome. It has the agent's times even if the cloud reported the end first."""
    try:
        return Outcome.read(folder / OUTCOME_FILE)
    except (FileNotFoundError, ValueError):  # not written before the machine was gone, or damaged
        return None


@dataclass(frozen=True)
class DrillOutcome:
    """Everything that a drill has measured."""

    promise: DrillEstimate
    attempts: list[Attempt]
    legs: list[Leg]
    forced: ForcedInterruption | None
    result: dict[str, Any]  #: output/result.json of the last machine
    left: list[str]  #: resources that the clouds still list
    clean_at: datetime

    @property
    def problem(self) -> str | None:
        """Return why the drill failed, in one line; None if it passed."""
        forced, result = self.forced, self.result
        if self.left:
            return f"resources are left: {', '.join(self.left)}. `spotwave reap` removes them"
        if len(self.attempts) == 1 and forced is None:
            return "the machine was not interrupted: it saved no checkpoint in time"
        if len(self.attempts) == 1:
            return (
                f"no interruption came within {self.promise.wait_s / 60:.0f} minutes, although the cloud had accepted "
                "the request: the machine ran to its end"
            )
        if result.get("resumed_from") is None:
            return "the last machine started from scratch: it found no checkpoint"
        if forced is not None and (result.get("token") != forced.token or int(result["resumed_at"]) < forced.seconds):
            return f"the last machine did not continue from the saved checkpoint ({forced.generation})"
        return None

    @property
    def usd(self) -> float:
        """Return the cost of all machines, disks and addresses, and of the interruption itself."""
        return sum(attempt.usd for attempt in self.attempts) + (
            self.promise.interruption_method.usd if self.forced else 0.0
        )


@task(name="drill_report")
def drill_report(drilled: DrillOutcome, results: Path) -> None:
    """Draw the artifact and write the report to the results."""
    text = report(drilled)
    (results / REPORT_FILE).write_text(f"{text}\n")
    create_markdown_artifact(key=REPORT_KEY, markdown=text, description="The interruption drill")


def report(drilled: DrillOutcome) -> str:
    """Return the report as Markdown: the verdict, the times, the machines with their cost."""
    most, forced, result = drilled.promise, drilled.forced, drilled.result
    problem = drilled.problem
    lines = [f"# Drill on {most.cloud}", ""]
    lines += [f"**Not passed**: {problem}." if problem else "**Passed**: the work survived the loss of its machine."]
    if forced is not None:
        lines += ["", f"The machine was {most.interruption_method.how}."]
        lines += ["", f"Saved before: `{forced.generation}`, {forced.seconds} s counted."]
        if not most.interruption_method.notice:
            lines[-3] += " So this drill does not test how much time a notice leaves."
    elif not problem:
        lines += ["", "The cloud interrupted the machine on its own before the drill did."]
    if result.get("resumed_from") is not None:
        lines += [f"Resumed from: `{result['resumed_from']}`, {result['resumed_at']} s counted."]
    lines += ["", "| | seconds |", "|--|--:|"]
    lines += [f"| {what} | {_seconds(value)} |" for what, value in times(drilled)]
    lines += ["", "| | machine | hours | USD | ended | why |", "|--|--|--:|--:|--|--|"]
    for attempt in drilled.attempts:
        reason = markdown(attempt.outcome.reason)
        lines.append(
            f"| {attempt.number} | {attempt.machine.offer.label} | {attempt.hours:.4f} | {attempt.usd:.4f} "
            f"| {attempt.outcome.ending} | {reason} |"
        )
    lines += ["", f"Total: {drilled.usd:.4f} USD, of at most {most.usd:.4f} USD that were announced."]
    if not drilled.left:
        lines += ["Nothing is left: no machine, disk, address or secret."]
    return "\n".join(lines)


def times(drilled: DrillOutcome) -> list[tuple[str, float | None]]:
    """Return (what, seconds), in chronological order."""
    found: list[tuple[str, float | None]] = []
    forced, gone_at = drilled.forced, None
    for number, leg in enumerate(drilled.legs, 1):
        if gone_at is not None:
            found.append((f"loss of {number - 1}, until {number} worked", _between(gone_at, leg.working_at)))
        found.append((f"launch of {number}, until it worked", _between(leg.launched_at, leg.working_at)))
        gone_at = leg.gone_at
        if leg.saved_in_s is not None:
            found.append((f"notice to {number}, until its checkpoint was safe", leg.saved_in_s))
        if forced is not None and forced.attempt == number:
            what = f"interruption of {number} asked for, until it was gone"
            found.append((what, _between(forced.asked_at, gone_at)))
    ended_at = drilled.legs[-1].finished_at
    found.append(("end of the work, until nothing was left", _between(ended_at, drilled.clean_at)))
    return found


def _between(begin: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between, never below zero: a cloud reports a launch in whole seconds of its own clock."""
    return None if begin is None or end is None else max(timedelta(0), end - begin).total_seconds()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
