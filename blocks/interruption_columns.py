"""Columns of a market that follow from its interruption rates. Apart from the figures, as polars is slow to import."""

from __future__ import annotations

import polars as pl

from spotwave.blocks.interruption import HIGH_FROM, MEDIUM_FROM, UNKNOWN_GPU_PER_H, UNKNOWN_PER_H

# Old snapshots, from before there were rates, have only a word, on a different scale.
_PER_H_OF_WORD = {"low": 0.003, "medium": 0.03, "high": 0.2}


def word() -> pl.Expr:
    """Return the column `interruption`: the word for `interruptions_per_h`, or 'unknown' if that is null."""
    rate = pl.col("interruptions_per_h")
    known = pl.when(rate < MEDIUM_FROM).then(pl.lit("low")).when(rate < HIGH_FROM).then(pl.lit("medium"))
    return (
        pl.when(rate.is_null()).then(pl.lit("unknown")).otherwise(known.otherwise(pl.lit("high"))).alias("interruption")
    )


def rate() -> pl.Expr:
    """Return the column `rate`: interruptions per hour as published, else as recorded for such machines."""
    unknown = pl.when(pl.col("gpu_count") > 0).then(UNKNOWN_GPU_PER_H).otherwise(UNKNOWN_PER_H)
    by_word = pl.col("interruption").replace_strict(_PER_H_OF_WORD, default=None, return_dtype=pl.Float64)
    return pl.coalesce("interruptions_per_h", by_word, unknown).alias("rate")
