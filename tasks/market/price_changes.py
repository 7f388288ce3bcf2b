"""Price changes of a market against an earlier one."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.tasks.market.quality_gate import price_pairs

SAME = 1e-6  # relative; a smaller change counts as none
SHOWN = 5


@dataclass(frozen=True)
class PriceChanges:
    """Counts of offers by cloud, and the biggest changes among the eligible ones."""

    counts: pl.DataFrame  #: cloud, cheaper, dearer, same, new, gone, median (factor of the changed prices)
    biggest: pl.DataFrame  #: cloud, instance_type, place, before, spot_usd_h, factor


def price_changes(now: Market, before: Market, requirements: Requirements) -> PriceChanges:
    """Compare two markets."""
    pairs = price_pairs(now, before).with_columns(factor=pl.col("spot_usd_h") / pl.col("before"))
    moved = (pl.col("factor") - 1).abs() > SAME
    counts = pairs.group_by("cloud").agg(
        cheaper=(moved & (pl.col("factor") < 1)).sum(),
        dearer=(moved & (pl.col("factor") > 1)).sum(),
        same=(~moved).sum(),
        median=pl.col("factor").filter(moved).median(),
    )
    totals = [part.frame.group_by("cloud").agg(**{name: pl.len()}) for name, part in (("now", now), ("then", before))]
    known = pl.col("cheaper") + pl.col("dearer") + pl.col("same")
    table = (
        totals[0]
        .join(totals[1], on="cloud", how="full", coalesce=True)
        .join(counts, on="cloud", how="left")
        .with_columns(pl.exclude("cloud", "median").fill_null(0))
        .with_columns(new=pl.col("now").cast(pl.Int64) - known, gone=pl.col("then").cast(pl.Int64) - known)
        .select("cloud", "cheaper", "dearer", "same", "new", "gone", "median")
        .sort("cloud")
    )
    eligible = Market(pairs.drop("before", "factor")).judged(requirements)["why_not"].is_null()
    biggest = (
        pairs.filter(eligible & pairs.select(moved).to_series())
        .with_columns(place=pl.coalesce("zone", "region"), size=pl.col("factor").log().abs())
        .sort("size", "cloud", "instance_type", "place", descending=[True, False, False, False])
        .head(SHOWN)
        .select("cloud", "instance_type", "place", "before", "spot_usd_h", "factor")
    )
    return PriceChanges(table, biggest)
