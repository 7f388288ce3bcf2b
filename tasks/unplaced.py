"""What a round without a machine means: whether waiting may change it, for what the job waits, and what would help."""

from __future__ import annotations

from collections import Counter

from tasks.job import Choice, Reason, Refusal, Unplaced

# First words of the kinds of refusals (tasks.walk.kind_of). All others may be over in an hour.
_QUOTA = "quota"
_LASTING = ("unfit", "misconfigured", "policy", "limit")  # of the type, the block, the organization, the budget

HELPS: dict[Reason, str] = {
    "NoOffer": "Room must come free, or a price fall. Sooner by wider requirements (types, regions, max_usd_h) or one "
    "more cloud.",
    "CloudQuota": "Other machines of the account must end, or its quotas be raised. Sooner by other regions, smaller "
    "machines or one more cloud.",
}


def all_refused(refusals: list[Refusal], ranked: int) -> Unplaced:
    """After a walk over so many ranked offers."""
    tried = [refusal for refusal in refusals if refusal.kind not in ("limit", "reserve")]
    counts = Counter(refusal.kind for refusal in tried)
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
    said = f"no machine to be had: {len(tried)} offers tried of {ranked} ranked ({kinds}), last: {refusals[-1].reason}"
    return Unplaced(refusals=refusals, reason=_reason(refusals), said=said)


def none_eligible(choice: Choice) -> Unplaced:
    """Nothing was ranked."""
    return Unplaced(reason=choice.may_change, said=str(choice.remedy).rstrip("."))


def _reason(refusals: list[Refusal]) -> Reason | None:
    passing = {kind for refusal in refusals if (kind := refusal.kind.partition(" ")[0]) not in _LASTING}
    if not passing:
        return None
    return "CloudQuota" if passing == {_QUOTA} else "NoOffer"
