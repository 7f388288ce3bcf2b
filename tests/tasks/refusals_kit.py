"""Walk a ranking with the real launch function, for many different requirements."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, product

from spotwave.blocks.errors import LaunchRefused, Misconfigured
from spotwave.blocks.market import Market
from spotwave.blocks.models import LaunchBrief, Machine, Offer, Requirements
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from spotwave.tasks.market.refusals import covers, refusal_of
from spotwave.tasks.records import Refusal
from tests.blocks import machine_kit

_attempts = count(1)  # each walk belongs to its own attempt
Launch = Callable[[Offer, LaunchBrief], Machine]

WORK = Work(50.0)  # core-hours: large machines are ranked first, as for real jobs
# 42 requirements, typical of computations.
REQUIREMENTS = [
    Requirements(min_vcpus=vcpus, min_memory_gib=gib, architectures=architectures)  # type: ignore[arg-type]
    for vcpus, gib, architectures in product(
        (1, 2, 3, 4, 6, 8, 16), (1, 16), (["x86_64", "arm64"], ["x86_64"], ["arm64"])
    )
]


def walk(launch: Launch, market: Market, wanted: Requirements) -> tuple[list[Offer], list[Refusal], Machine | None]:
    """Try every offer that no refusal covers, in order; return the ranking, the refusals and the machine."""
    ranked = [one.offer for one in rank(market, wanted, WORK, {}).ranked]
    refusals: list[Refusal] = []
    brief = machine_kit.brief(attempt=next(_attempts))
    for offer in ranked:
        if any(covers(refusal, offer) for refusal in refusals):
            continue
        try:
            return ranked, refusals, launch(offer, brief)[0]
        except LaunchRefused as refused:
            if isinstance(refused, Misconfigured):
                raise
            refusals.append(refusal_of(offer, refused))
    assert all(covers(refusal, refusal.offer) for refusal in refusals), "a scope covers the refused offer"
    return ranked, refusals, None
