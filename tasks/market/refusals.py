"""What a cloud's refusal of one offer says of the offers that were not tried yet."""

from __future__ import annotations

from collections.abc import Sequence

from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Offer
from spotwave.blocks.refusal_scope import Scope
from spotwave.blocks.registry import wing
from spotwave.tasks.records import Refusal


def refusal_of(offer: Offer, refused: LaunchRefused) -> Refusal:
    """What a cloud said of the offer, in fields."""
    return Refusal(
        offer=offer,
        kind=type(refused).__name__.lower(),
        reason=refused.reason,
        scope=Scope.of(refused, offer, wing(offer.cloud).quotas_of(offer)),
        lasting=refused.lasting,
    )


def covers(refusal: Refusal, offer: Offer) -> bool:
    """Whether a refusal makes it pointless to try this offer too."""
    if refusal.scope is None:
        return refusal.offer.pool == offer.pool
    if refusal.scope.cloud != offer.cloud:
        return False
    return refusal.scope.covers(offer, wing(offer.cloud).quotas_of(offer))


def hopeless(refusals: Sequence[Refusal]) -> bool:
    """Whether every one of them lasts, so that to wait and ask again would end alike."""
    return all(refusal.lasting for refusal in refusals)


def summary(refusals: Sequence[Refusal]) -> str:
    """Why nothing was launched, in a line."""
    said = f"no machine to be had: {len(refusals)} offers tried, last: {refusals[-1].reason}"
    if not hopeless(refusals):
        return said
    closed = sorted({r.scope.region for r in refusals if r.kind == "closed" and r.scope and r.scope.region})
    if not closed:
        return f"{said}. Waiting does not help"
    return f"{said}. A policy forbids it in {', '.join(closed)}: waiting does not help"
