"""What a cloud's refusal of one offer implies for the offers that were not tried yet."""

from __future__ import annotations

from collections.abc import Sequence

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Offer
from spotwave.blocks.refusal_scope import Scope
from spotwave.blocks.registry import wing
from spotwave.tasks.records import Refusal


def refusal_of(offer: Offer, refused: LaunchRefused) -> Refusal:
    """Return a cloud's refusal of the offer as a record."""
    return Refusal(
        offer=offer,
        kind=type(refused).__name__.lower(),
        reason=refused.reason,
        scope=Scope.of(refused, offer, wing(offer.cloud).quotas_of(offer)),
        lasting=refused.lasting,
    )


def covers(refusal: Refusal, offer: Offer) -> bool:
    """Whether the refusal also applies to this offer, so that trying it is pointless."""
    if refusal.scope is None:
        return refusal.offer.pool == offer.pool
    if refusal.scope.cloud != offer.cloud:
        return False
    return refusal.scope.covers(offer, wing(offer.cloud).quotas_of(offer))


def hopeless(refusals: Sequence[Refusal]) -> bool:
    """Whether all refusals are permanent, so that waiting and retrying is pointless."""
    return all(refusal.lasting for refusal in refusals)


def summary(refusals: Sequence[Refusal]) -> str:
    """Say in one line why nothing was launched."""
    message = f"no machine available: {len(refusals)} offers tried, last: {refusals[-1].reason}"
    if not hopeless(refusals):
        return message
    closed = sorted({r.scope.region for r in refusals if r.kind == "closed" and r.scope and r.scope.region})
    if not closed:
        return f"{message}. Waiting does not help"
    return f"{message}. A policy forbids it in {', '.join(closed)}: waiting does not help"
