"""What follows from a round without a machine: whether waiting may help, for what, and what the user can change."""

from __future__ import annotations

from collections import Counter

from spotwave.tasks.market.refusals import hopeless, summary
from spotwave.tasks.records import Choice, Reason, Refusal, Unplaced

HELPS: dict[Reason, str] = {
    "NoOffer": "Capacity must become free, or a price fall. Wider requirements (types, regions, max_usd_h) or another "
    "cloud help sooner.",
    "CloudQuota": "Other machines of the account must end, or its quotas be raised. Other regions, smaller machines or "
    "another cloud help sooner.",
}


def all_refused(refusals: list[Refusal]) -> Unplaced:
    """Return the result of a round in which every offer was refused."""
    kinds = Counter(refusal.kind for refusal in refusals)
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    return Unplaced(refusals=refusals, reason=_reason(refusals), said=f"{summary(refusals).rstrip('.')} ({counts})")


def none_eligible(choice: Choice) -> Unplaced:
    """Return the result of a round in which no offer was eligible."""
    return Unplaced(reason=choice.may_change, said=str(choice.remedy).rstrip("."))


def _reason(refusals: list[Refusal]) -> Reason | None:
    if hopeless(refusals):
        return None
    return "CloudQuota" if {one.kind for one in refusals if not one.lasting} == {"quota"} else "NoOffer"
