"""What a round without a machine means: whether waiting may change it, for what the job waits, and what would help."""

from __future__ import annotations

from collections import Counter

from spotwave.tasks.market.refusals import hopeless, summary
from spotwave.tasks.records import Choice, Reason, Refusal, Unplaced

HELPS: dict[Reason, str] = {
    "NoOffer": "Room must come free, or a price fall. Sooner by wider requirements (types, regions, max_usd_h) or one "
    "more cloud.",
    "CloudQuota": "Other machines of the account must end, or its quotas be raised. Sooner by other regions, smaller "
    "machines or one more cloud.",
}


def all_refused(refusals: list[Refusal]) -> Unplaced:
    """After a walk."""
    kinds = Counter(refusal.kind for refusal in refusals)
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    return Unplaced(refusals=refusals, reason=_reason(refusals), said=f"{summary(refusals).rstrip('.')} ({counts})")


def none_eligible(choice: Choice) -> Unplaced:
    """Nothing was ranked."""
    return Unplaced(reason=choice.may_change, said=str(choice.remedy).rstrip("."))


def _reason(refusals: list[Refusal]) -> Reason | None:
    if hopeless(refusals):
        return None
    return "CloudQuota" if {one.kind for one in refusals if not one.lasting} == {"quota"} else "NoOffer"
