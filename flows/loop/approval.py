"""Approval of a quote above the budget's threshold, by a user in the UI, before anything is launched.

The run is *suspended*, not paused: its process ends, and the answer starts a new one. So a controller restart loses
nothing, and a job that waits for days does not occupy a queue slot. Results of earlier steps are persisted.
"""

from __future__ import annotations

from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field

from spotwave.flows.loop.errors import JobFailed
from spotwave.tasks.cost.approval_question import ask
from spotwave.tasks.records import Job, Quote

KEY = "approval"  # key of the suspension; a restarted run finds its answer under the same key


class Approval(RunInput):
    """The form that the UI shows under "Resume"."""

    approve: bool = Field(
        False, title="Approve", description="Tick to launch the job. Without a tick the job ends, and nothing is spent."
    )


def approved(job: Job, quote: Quote, round_: int = 1) -> float | None:
    """Wait for approval if the quote needs it; return the approved cost cap in USD, which the form calls "at most".

    None if no approval was needed: then there is no cap. Raises JobFailed if the user refused, Pause (the run is
    suspended) if there is no answer yet.
    """
    question, key = ask(job, quote), KEY
    if question is None and round_ > 1:  # prices may have risen while it waited for capacity
        question, key = ask(job, quote, round_), f"{KEY}-{round_}"
    if question is None:
        return None
    try:
        answer = suspend_flow_run(
            wait_for_input=Approval.with_initial_data(description=f"{question.line}\n\n{question.form}"),
            timeout=round(3600 * question.hours),
            key=key,
        )
    except Pause:
        get_run_logger().warning("%s Resume this run in the UI to approve or refuse it.", question.line)
        raise
    if answer is None or not answer.approve:
        raise JobFailed("approval: refused; nothing was launched, and nothing was spent")
    get_run_logger().info("approved: at most %.4g USD", question.most_usd)
    return question.most_usd
