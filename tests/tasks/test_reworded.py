"""No decision depends on the wording of a message: outcomes, refusals and limits have the same effect when reworded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.budget import Budget
from spotwave.blocks.errors import Capacity, Closed, LaunchRefused, Misconfigured, Quota, Throttled, Unclear, Unfit
from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.flows.loop.job_billing import JobBilling
from spotwave.node.contract import Cause, Ending, Limit, Outcome
from spotwave.tasks.cost import ledger
from spotwave.tasks.cost.reserve import own_cap
from spotwave.tasks.machine.attempts import another, avoided, checked_outcome
from spotwave.tasks.machine.bigger_machine import next_machine
from spotwave.tasks.machine.no_machine import all_refused
from spotwave.tasks.machine.walk_offers import Patience
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.quota_room import OVER
from spotwave.tasks.market.rank import rank
from spotwave.tasks.market.refusals import covers, hopeless, refusal_of
from spotwave.tasks.records import Allowance, Attempt, Choice, Job, Near, Refusal, Rejected, Unplaced
from spotwave.tasks.results.continue_from import Continuation
from tests.tasks.test_approval_question import a_quote
from tests.tasks.test_bigger_machine import attempt
from tests.tasks.test_drill import PASSED
from tests.tasks.test_quote import a_job, ranked
from tests.tasks.test_select import offer

#: The message fields of records, which only users read.
TEXTS: dict[type, tuple[str, ...]] = {
    Allowance: ("said", "refused"),
    Attempt: ("why",),
    Choice: ("remedy",),
    Near: ("why_not",),
    Refusal: ("reason",),
    Rejected: ("reason",),
    Unplaced: ("said",),
}
REFUSED: list[Callable[[], LaunchRefused]] = [
    lambda: Capacity("none free"),
    lambda: Quota("used up", "region", "Standard", 8.0),
    lambda: Quota("no network", "region", lasting=True),
    lambda: Closed("a policy"),
    lambda: Throttled("too fast", scope="cloud"),
    lambda: Throttled("too fast", repeated=True),
    lambda: Misconfigured("the key"),
    lambda: Unfit("the image"),
    lambda: Unclear("of a new kind"),
]


def reword(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Replace the text of every message by these words."""

    def outcome(self: Outcome) -> None:
        set_fields(self)
        object.__setattr__(self, "reason", words)

    def refused(self: LaunchRefused, reason: str) -> None:
        Exception.__init__(self, words)
        self.reason = words

    def rewording(names: tuple[str, ...], made: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, **fields: Any) -> None:
            texts = {name: words for name in names if fields.get(name)}
            made(self, **fields | texts)

        return init

    set_fields = Outcome.__post_init__
    monkeypatch.setattr(Outcome, "__post_init__", outcome)
    monkeypatch.setattr(LaunchRefused, "__init__", refused)
    for record, names in TEXTS.items():
        monkeypatch.setattr(record, "__init__", rewording(names, record.__init__))


def of_outcomes() -> dict[str, Any]:
    """Whether there is another machine, with which requirements, and which limit ended the last one."""
    job, found = a_job(max_attempts=3), {}
    for ending in Ending:
        for limit in (Limit.NONE, Limit.MAX_USD):
            for cause in (None, *Cause):
                lost = [attempt(number, cause, offer("m"), ending, limit=limit) for number in (1, 2)]
                needs = next_machine(job.requirements, lost)
                found[f"{ending} {limit} {cause}"] = (
                    needs.requirements,
                    bool(needs.why),
                    needs.problem is None,
                    another(job, lost),
                    set(avoided(lost, {"here"})),
                    billing_of(job).limit_that_ended(lost[-1], 1e12) is not None,
                    checked_outcome(lost[-1].outcome, AzureCloud()).ending,
                )
    return found


def billing_of(job: Job) -> JobBilling:
    """Return the billing of a job that may cost 2 USD."""
    choice = Choice(ranked=[ranked(offer("a"), 1.0)], seen=1, eligible=1, work_core_h=1.0, rejected=[])
    billing = JobBilling(job, choice, a_quote(job, None), Continuation())
    billing.allowance = Allowance(usd=2.0, limit=Limit.MAX_USD, said="max_usd: of 2 USD", at=0.0)
    return billing


def of_refusals() -> list[Any]:
    """Which offers a refusal excludes from the walk and the next ranking, and whether the job waits."""
    found: list[Any] = []
    offers = [
        offer("a", cloud="aws", zone="r1a"),
        offer("a", cloud="aws", zone="r1b"),
        offer("b", cloud="aws", region="r2"),
    ]
    for refused in REFUSED:
        one = refusal_of(offers[0], refused())
        assert one.reason == refused().reason
        market, asked = Market.of(offers), refused()
        found.append(
            (
                one.kind,
                one.scope,
                one.lasting,
                [covers(one, other) for other in offers],
                hopeless([one]),
                all_refused([one]).reason,
                all_refused([one]).unsure,
                [it.offer.label for it in rank(market, Requirements(), Work(1.0), {}, refused=[one]).ranked],
                Patience().wait_s(offers[0], asked) if isinstance(asked, Throttled) else None,
            )
        )
    return found


def of_limits() -> list[Any]:
    """Which limit applies, and how much it leaves."""
    mine = ledger.reservation(a_job(project="p"), 1, 5.0, 1e9, 1e9 + 60, None)
    budgets = [Budget(usd_per_month=9.0), Budget(usd_per_project=7.0), Budget(usd_per_month=5.0, usd_per_project=5.0)]
    caps = [ledger.left(mine, [], budget) for budget in budgets]
    caps += [cap for usd in (1.0, 3.0) if (cap := own_cap(a_job(max_usd=2.0), usd, 0.5)) is not None]
    return [(cap.usd, cap.limit) for cap in caps]


def of_market() -> list[Any]:
    """The nearest offers if none is eligible, whether a quota excludes them, and whether waiting may help."""
    market = Market.of([offer("a", vcpus=4), offer("b", vcpus=8)])
    over = pl.DataFrame([("here", "r1", name, "vCPUs: 2 of 2") for name in ("a", "b")], schema=OVER, orient="row")
    found: list[Any] = []
    for requirements in (Requirements(), Requirements(min_vcpus=64), Requirements(max_usd_h=0.01)):
        choice = rank(market, requirements, Work(1.0), {}, over=over)
        nearest = [(near.offer.label, near.misses, near.over_quota) for near in choice.nearest]
        found.append((nearest, choice.may_change, [one.count for one in choice.rejected], choice.remedy is None))
    return found


def of_drills() -> list[Any]:
    """Whether a drill has passed, and its times."""
    times = {"notice_at": 100.0, "saved_at": 102.5}
    noticed = [one.model_copy(update={"outcome": replace(one.outcome, **times)}) for one in PASSED.attempts]
    drills = [
        replace(PASSED, attempts=noticed),
        replace(PASSED, attempts=noticed[:1]),
        replace(PASSED, left=["disk d"]),
    ]
    return [(one.problem is None, [attempt.outcome.saved_in_s for attempt in one.attempts]) for one in drills]


DECISIONS: list[Callable[[], Any]] = [of_outcomes, of_refusals, of_limits, of_market, of_drills]


@pytest.mark.parametrize("words", ["x", "NONE LEFT: THE QUOTA OF MEMORY IS USED UP", "the job was suspended"])
@pytest.mark.parametrize("decisions", DECISIONS)
def test_reworded_messages_change_no_decision(
    monkeypatch: pytest.MonkeyPatch, decisions: Callable[[], Any], words: str
) -> None:
    as_written = decisions()
    reword(monkeypatch, words)
    assert Outcome(Ending.LOST, "so").reason == words
    assert Refusal(offer=offer("a"), kind="capacity", reason="so").reason == words
    assert decisions() == as_written


def test_limit_that_ended_an_attempt_is_read_from_its_field() -> None:
    billing, risen = billing_of(a_job()), "the hourly price of its machine has risen since the launch. max_usd"
    ended = attempt(1, None, ending=Ending.DEADLINE)
    in_words = ended.model_copy(update={"outcome": Outcome(Ending.DEADLINE, risen)})
    in_a_field = ended.model_copy(update={"outcome": Outcome(Ending.DEADLINE, "so", limit=Limit.MAX_USD)})
    assert billing.limit_that_ended(in_words, 1e12) is None
    assert str(billing.limit_that_ended(in_a_field, 1e12)).startswith("max_usd: of 2 USD")
