"""Plausibility checks on prices: implausible rows are dropped, and counted by reason."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from spotwave.blocks.market import SCHEMA, Market

DEAREST = 1.2  #: times the on-demand price; spot is capped at the on-demand price, the rest covers rounding and age
CHEAPEST = 0.01  #: of the on-demand price; no cloud has ever given more than 95 % off


def vetted(
    kind: str,
    frame: pl.DataFrame,
    dropped: Mapping[str, int] | None = None,
    missing: Mapping[str, str] | None = None,
) -> Market:
    """Return a provider's rows as its market, without the implausible ones.

    frame: at least the columns of `SCHEMA` (others are ignored); values may still be null or invalid.
    dropped, missing: what the provider itself left out, by reason and by place; `kind` is put before each key.
    """
    # (reason, rule, result of the rule for a null). An unknown on-demand price is no reason to drop a row, unknown
    # vCPUs are.
    rules: list[tuple[str, pl.Expr, bool]] = [
        ("no price", pl.col("spot_usd_h").is_null() | ~pl.col("spot_usd_h").is_finite(), True),
        ("price of zero or less", pl.col("spot_usd_h") <= 0, False),
        ("no vCPUs or no memory", ~((pl.col("vcpus") > 0) & (pl.col("cores") > 0) & (pl.col("memory_gib") > 0)), True),
        ("architecture unknown", pl.col("architecture").is_null(), False),
        (
            f"price above {DEAREST:g} times on-demand",
            pl.col("spot_usd_h") > DEAREST * pl.col("on_demand_usd_h"),
            False,
        ),
        (
            f"price below {CHEAPEST:.0%} of on-demand",
            pl.col("spot_usd_h") < CHEAPEST * pl.col("on_demand_usd_h"),
            False,
        ),
    ]
    verdict = pl.lit(None, dtype=pl.String)
    for reason, absurd, unknown_too in reversed(rules):
        verdict = pl.when(absurd.fill_null(unknown_too)).then(pl.lit(reason)).otherwise(verdict)
    judged = frame.with_columns(absurd=verdict)
    counts = dict(judged.drop_nulls("absurd").group_by("absurd").len().iter_rows())
    for reason, count in (dropped or {}).items():
        if count:
            counts[reason] = counts.get(reason, 0) + count
    return Market(
        judged.filter(pl.col("absurd").is_null()).select(pl.col(name).cast(kept) for name, kept in SCHEMA.items()),
        {f"{kind}: {reason}": counts[reason] for reason in sorted(counts)},
        {f"{kind} {place}": why for place, why in (missing or {}).items()},
    )
