"""The user approves a figure, which then is the cap."""

from __future__ import annotations

import pytest

from spotwave.blocks.budget import Budget
from spotwave.flows.loop.approval import Approval
from spotwave.flows.loop.job_billing import JobBilling
from spotwave.node.contract import Limit
from spotwave.tasks.cost.approval_question import question_of
from spotwave.tasks.cost.quote import quoted
from spotwave.tasks.cost.reserve import own_cap
from spotwave.tasks.records import Allowance, Choice, Job, Quote
from spotwave.tasks.results.continue_from import Continuation
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_quote import a_job, ranked


def a_quote(job: Job, work_core_h: float | None) -> Quote:
    return quoted(job, ranked(an_offer(), 1.0), work_core_h, [])


@pytest.mark.parametrize("known", [True, False])
def test_form_shows_the_figure_that_becomes_the_cap(known: bool) -> None:
    job = a_job(max_hours=11.0, work_core_h=8.0 if known else None)
    quote = a_quote(job, job.work_core_h)
    usd = quote.usd_p90 if known else quote.most_usd
    assert question_of(quote, Budget(approve_above_usd=usd + 0.01)) is None
    assert question_of(quote, Budget()) is None
    question = question_of(quote, Budget(approve_above_usd=usd / 2, approval_hours=5))
    assert question is not None
    assert f"at most {question.most_usd:.4g} USD" in question.form
    assert question.most_usd == pytest.approx(quote.most_usd, rel=1e-3)
    assert question.hours == 5
    assert ("the work is unknown" in question.line) is not known


def test_approval_defaults_to_false() -> None:
    assert Approval().approve is False
    assert Approval.model_json_schema()["properties"]["approve"]["default"] is False


@pytest.mark.parametrize(
    ("max_usd", "approved_usd", "left", "limit"),
    [
        (None, None, None, ""),
        (3.0, None, 2.5, "max_usd"),
        (None, 1.153, 0.653, "approved"),
        (3.0, 1.153, 0.653, "approved"),
        (1.0, 1.153, 0.5, "max_usd"),
        (None, 0.4, 0.0, "approved"),
    ],
)
def test_tighter_of_two_caps_applies_and_is_named(
    max_usd: float | None, approved_usd: float | None, left: float | None, limit: str
) -> None:
    cap = own_cap(a_job(max_usd=max_usd), approved_usd, spent_usd=0.5)
    if left is None:
        assert cap is None
        return
    assert cap is not None
    assert cap[:2] == (pytest.approx(left), limit)
    assert cap[2].startswith(f"{limit}: of ")
    assert f"{approved_usd if limit == 'approved' else max_usd:g} USD" in cap[2]
    assert "0.5 are spent" in cap[2]


def test_message_after_a_job_reached_its_approved_cost() -> None:
    job = a_job()
    choice = Choice(ranked=[ranked(an_offer(), 1.0)], seen=1, eligible=1, work_core_h=1.0, rejected=[])
    billing = JobBilling(job, choice, a_quote(job, None), Continuation())
    billing.allowance = Allowance(usd=2.0, limit=Limit.APPROVED, at=0.0)
    assert billing.how_to_go_on().endswith(f"continue_job={job.key}; the further cost is then subject to approval.")
