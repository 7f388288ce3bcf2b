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

from blocks.budget import Budget
from flows.failed import JobFailed
from tasks.documents import load_budget
from tasks.job import Job, Quote

KEY = "approval"  # of the suspension: the same for a restarted run, which is then told the answer


class Approval(RunInput):
    """The form that the UI shows under "Resume"."""

    approve: bool = Field(True, title="Approve", description="Launch it. Otherwise the job ends, and nothing is spent.")


def approved(job: Job, quote: Quote) -> None:
    """Return when the job may be launched. Raises JobFailed where somebody has said no, Pause where nobody has said
    anything yet: the run is then suspended."""
    if job.budget is None or job.approved:
        return
    budget = load_budget(job.budget)
    if (question := asked(quote, budget)) is None:
        return
    try:
        answer = suspend_flow_run(
            wait_for_input=Approval.with_initial_data(description=f"{question}\n\n{quote.line}"),
            timeout=round(3600 * budget.approval_hours),
            key=KEY,
        )
    except Pause:
        get_run_logger().warning("%s Resume this run in the UI to approve or refuse it.", question)
        raise
    if answer is None or not answer.approve:
        raise JobFailed("approval: refused; nothing was launched, and nothing was spent")
    get_run_logger().info("approved")


def asked(quote: Quote, budget: Budget) -> str | None:
    """The question, or None if the quote needs no approval. Of unknown work only the most it may cost is certain."""
    above, usd = budget.approve_above_usd, quote.usd_p90 if quote.known else quote.most_usd
    if above is None or usd <= above:
        return None
    what = "the quote (P90)" if quote.known else "the work is unknown, and the most that it may cost"
    return f"approval: {what} is {usd:.4g} USD, above {above:g} USD."
