"""A quote above the budget's threshold waits for a person's yes, in the UI, before anything is launched.

The run is *suspended*, not paused: its process ends, and the answer starts it anew, so a controller that is restarted
meanwhile loses nothing, and a job that waits for days holds no place in the queue. The steps before are kept.
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

KEY = "approval"  # of the suspension: the same for a restarted run, which is then told the answer


class Approval(RunInput):
    """The form that the UI shows under "Resume"."""

    approve: bool = Field(
        False, title="Approve", description="Tick to launch it. Without a tick the job ends, and nothing is spent."
    )


def approved(job: Job, quote: Quote, round_: int = 1) -> float | None:
    """Return when the job may be launched: with the most that it may cost from now on (USD), which is what the form
    called "at most"; None where nobody was asked, which caps nothing.

    Raises JobFailed where somebody has said no, Pause where nobody has said anything yet: the run is then suspended.
    """
    question, key = ask(job, quote), KEY
    if question is None and round_ > 1:  # it has waited for room, and prices may have risen
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
