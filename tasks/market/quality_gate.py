"""Quality checks of a cloud's market before its snapshot is published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from spotwave.blocks.market import Market

MOST_LOST = 0.1  #: share of the earlier regions, families or offers
MOST_CHANGED = 0.5  #: share of prices that changed by more than a factor of `BIG`
BIG = 1.5
PATIENCE = timedelta(days=3)  # a change that lasts longer is real, not an error of one day


@dataclass(frozen=True)
class Verdict:
    """The result of the checks. With `objections` the snapshot is not published; `remarks` are reported in any case."""

    objections: list[str]
    remarks: list[str]


def judged(fresh: Market, before: Market | None, now: datetime, accepted: bool = False) -> Verdict:
    """Compare a new market of one cloud with its last published one.

    Objections: an empty market; a tenth of the regions, families or offers missing; half of the prices changed by more
    than a factor of `BIG`. All but the first become remarks if `accepted` by a user, or if the last published snapshot
    is older than `PATIENCE`.
    """
    if not len(fresh):
        return Verdict(["no offers"], [])
    if before is None or not len(before):
        return Verdict([], ["first snapshot: nothing to compare with"])
    changes = [
        *_lost("region", fresh, before),
        *_lost("family", fresh, before),
        *_fewer(fresh, before),
        *_repriced(fresh, before),
    ]
    remarks = [text for serious, text in changes if not serious]
    objections = [text for serious, text in changes if serious]
    if not objections:
        return Verdict([], remarks)
    if accepted:
        return Verdict([], [*remarks, *(f"{text} (accepted)" for text in objections)])
    if before.seen_at is not None and now - before.seen_at > PATIENCE:
        old = f"the last snapshot is {(now - before.seen_at).days} days old, so the change is accepted as real"
        return Verdict([], [*remarks, *objections, old])
    return Verdict(objections, remarks)


def _lost(what: str, fresh: Market, before: Market) -> list[tuple[bool, str]]:
    """Return whether too many regions or families are missing, and a line that names them."""
    here, there = (set(market.frame[what].drop_nulls().unique()) for market in (fresh, before))
    gone = sorted(there - here)
    if not gone:
        return []
    named = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
    plural = {"region": "regions", "family": "families"}[what]
    return [(len(gone) > MOST_LOST * len(there), f"{len(gone)} of {len(there)} {plural} gone: {named}")]


def _fewer(fresh: Market, before: Market) -> list[tuple[bool, str]]:
    share = 1 - len(fresh) / len(before)
    return [(True, f"{share:.0%} fewer offers: {len(fresh)}, before {len(before)}")] if share > MOST_LOST else []


def _repriced(fresh: Market, before: Market) -> list[tuple[bool, str]]:
    both = price_pairs(fresh, before)
    if both.is_empty():
        return [(True, "none of the earlier offers is left")]
    factor = pl.col("spot_usd_h") / pl.col("before")
    share = both.select(((factor > BIG) | (factor < 1 / BIG)).mean()).item()
    if share <= MOST_CHANGED:
        return []
    return [(True, f"{share:.0%} of the prices changed by more than a factor of {BIG:g}")]


def price_pairs(fresh: Market, before: Market) -> pl.DataFrame:
    """Return the new offers that existed before, with a column `before` (USD/h)."""
    key = ["cloud", "instance_type", "region", "zone"]
    earlier = before.frame.select(*key, before="spot_usd_h").unique(key, keep="first", maintain_order=True)
    joined = fresh.frame.join(earlier, on=key, how="inner", nulls_equal=True, maintain_order="left")
    return joined.filter(pl.col("before") > 0)
