"""What a job will cost, and what it has cost. USD and hours."""

from __future__ import annotations

import math

import polars as pl

from tasks.job import Attempt

# Assumed losses per hour of running where a cloud gives only a word. Unknown counts as medium, never as zero.
RATE_PER_H = {"low": 0.005, "medium": 0.02, "high": 0.05, "unknown": 0.02}
CHECKPOINT_S = 30.0
BOOT_S = 120.0


def interruption_rate() -> pl.Expr:
    """Column `rate`: interruptions per hour of an offer, measured if known, else by its word."""
    by_word = pl.col("interruption").replace_strict(RATE_PER_H, default=RATE_PER_H["unknown"], return_dtype=pl.Float64)
    return pl.coalesce(pl.col("interruptions_per_h"), by_word).alias("rate")


def waste(checkpoint_s: float = CHECKPOINT_S, boot_s: float = BOOT_S) -> pl.Expr:
    """Column `waste`: the share of time lost, from column `rate` (1/h); between 0 and 0.95.

    With checkpoints of cost C every T = sqrt(2 C / rate) (Young 1974, Commun. ACM 17, 530), a machine loses C/T
    to checkpoints, rate * T/2 to repeated work, and rate * (boot + restore) to starting again.
    """
    checkpoint_h, restart_h = checkpoint_s / 3600, (boot_s + checkpoint_s) / 3600
    rate = pl.col("rate")
    young = (2 * checkpoint_h * rate).sqrt()  # = C/T + rate * T/2
    return (young + rate * restart_h).clip(0.0, 0.95).alias("waste")


def with_cost(offers: pl.DataFrame, work_core_h: float) -> pl.DataFrame:
    """Offers with columns rate, waste, hours, expected_usd: price x (work / speed) / (1 - waste)."""
    return (
        offers.with_columns(interruption_rate())
        .with_columns(waste())
        .with_columns(hours=(work_core_h / pl.col("vcpus")) / (1 - pl.col("waste")) + BOOT_S / 3600)
        .with_columns(expected_usd=pl.col("spot_usd_h") * pl.col("hours"))
    )


def receipt(attempts: list[Attempt]) -> dict[str, float | None]:
    """What the attempts cost: each machine's hours at the price it was launched at, beside the on-demand price.

    `on_demand_usd` is None if any offer's on-demand price is unknown.
    """
    on_demand = [
        attempt.hours * price if (price := attempt.machine.offer.on_demand_usd_h) is not None else math.nan
        for attempt in attempts
    ]
    total = sum(on_demand)
    return {
        "usd": round(sum(attempt.usd for attempt in attempts), 6),
        "hours": round(sum(attempt.hours for attempt in attempts), 6),
        "on_demand_usd": None if math.isnan(total) else round(total, 6),
    }
