"""Explain an offer's position: its place in the ranking, or what excludes it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Offer, Requirements
from spotwave.tasks.market.expected_cost import Work, with_cost
from spotwave.tasks.market.rank import ORDER, TERMS, rank
from spotwave.tasks.records import Choice, Objective, Ranked


@dataclass(frozen=True)
class Explained:
    """One offer with its explanation."""

    offer: Offer
    why_not: str | None  #: the first requirement that excludes it; None: eligible
    place: int | None  #: in the ranking, from 1; None: not eligible
    ranked: Ranked  #: its terms, also if it is not eligible


def explain(
    market: Market,
    words: list[str],
    requirements: Requirements,
    work: Work,
    *,
    objective: Objective = "cost",
    speeds: pl.DataFrame | None = None,
) -> tuple[list[Explained], Choice]:
    """Return the offers that match all words (instance type, cloud, region, zone), cheapest first, and the choice.

    Cooling is ignored, since it is temporary. Returns ([], choice) if nothing matches.
    """
    choice = rank(market, requirements, work, {}, objective=objective, speeds=speeds)
    costed = with_cost(market.judged(requirements), work, speeds)
    named = costed
    for word in words:
        named = named.filter(pl.any_horizontal(pl.col("cloud", "instance_type", "region", "zone") == word))
    named = named.sort(*ORDER[objective]).head(5)
    eligible = costed.filter(pl.col("why_not").is_null())
    found = []
    for offer, row in zip(offers_of(named), named.to_dicts(), strict=True):
        key = ORDER[objective][0]
        better = eligible.filter(pl.col(key) < row[key]).height
        terms = Ranked(offer=offer, **{name: row[name] for name in TERMS})
        fits = row["why_not"] is None
        found.append(Explained(offer, row["why_not"], better + 1 if fits else None, terms))
    return found, choice
