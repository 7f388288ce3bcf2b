"""Step: whether the quote needs a person's yes, and to what: decided once a job, on what the form shows."""

from __future__ import annotations

from prefect import task

from spotwave.blocks.budget import Budget
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_budget
from spotwave.tasks.records import Job, Question, Quote


@task(name="ask", persist_result=True, cache_policy=ONCE - "quote")
def ask(job: Job, quote: Quote, round_: int = 1) -> Question | None:
    """The question, or None if the quote needs no approval. round_: of waiting for room (flows.loop.placement_rounds).

    Kept whatever the quote is when the run is started again: what somebody has agreed to is what stood on the form.
    """
    if job.budget is None or job.approved:
        return None
    return question_of(quote, load_budget(job.budget))


def question_of(quote: Quote, budget: Budget) -> Question | None:
    """Of unknown work only the most it may cost is certain."""
    above, usd = budget.approve_above_usd, quote.usd_p90 if quote.known else quote.most_usd
    if above is None or usd <= above:
        return None
    what = "the quote (P90)" if quote.known else "the work is unknown, and the most that it may cost"
    most = f"{quote.most_usd:.4g}"
    cap = (
        f"If approved, the job may cost at most {most} USD, as if that were its max_usd: it stops before it costs more."
    )
    return Question(
        line=f"approval: {what} is {usd:.4g} USD, above {above:g} USD.",
        form=f"{quote.line}\n\n{cap}",
        most_usd=float(most),  # the figure as the form shows it, rounded
        hours=budget.approval_hours,
    )
