"""Step: decide once per job whether the quote needs a user's approval, and what the form asks."""

from __future__ import annotations

from prefect import task

from spotwave.blocks.budget import Budget
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_budget
from spotwave.tasks.records import Job, Question, Quote


@task(name="ask_approval", persist_result=True, cache_policy=ONCE - "quote")
def ask(job: Job, quote: Quote, round_: int = 1) -> Question | None:
    """Return the question, or None if the quote needs no approval. round_: see flows.loop.placement_rounds.

    The result is kept even if the quote changes on a restart: the user approves what the form showed.
    """
    if job.budget is None or job.approved:
        return None
    return question_of(quote, load_budget(job.budget))


def question_of(quote: Quote, budget: Budget) -> Question | None:
    """Return the question for this quote. If the work is unknown, the maximum cost is compared."""
    above, usd = budget.approve_above_usd, quote.usd_p90 if quote.known else quote.most_usd
    if above is None or usd <= above:
        return None
    what = "the quote (P90)" if quote.known else "the work is unknown; the maximum cost"
    most = f"{quote.most_usd:.4g}"
    cap = f"If approved, the job may cost at most {most} USD, as if max_usd were set: it stops before it costs more."
    return Question(
        line=f"approval: {what} is {usd:.4g} USD, above {above:g} USD.",
        form=f"{quote.line}\n\n{cap}",
        most_usd=float(most),  # rounded as in the form
        hours=budget.approval_hours,
    )
