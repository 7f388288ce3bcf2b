"""How often a machine is taken back: every cloud's figure as interruptions per hour of running, with what it rests on.

| source | it publishes | interruptions per hour |
|--|--|--|
| AWS, Spot Instance Advisor | bands of the share of capacity that was reclaimed in the trailing month | middle / 720 |
| Azure, Resource Graph (SpotResources) | bands of the chance of eviction within an hour | middle |
| GCP, advice.capacityHistory | the share of preemptions among the spot VMs that stopped, by day | share / 8.2 |

The middle stands for a band, and a band without an upper end goes to 100 %. What nobody tells is taken to be as it was
recorded (benchmarks/interruption_rates.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

Word = Literal["low", "medium", "high", "unknown"]

MONTH_H = 720.0  #: the Advisor's trailing month: 30 days
# What Google does not publish: how long the VMs that stopped had run. Of 1,442 in 2019 it was 8.2 h on average; the
# share of preemptions divided by it is their rate per hour.
STOPPED_VM_H = 8.2

MEDIUM_FROM = 0.01  #: per hour: one loss in four days costs 1.5 % of the time
HIGH_FROM = 0.1  #: per hour: one in ten hours, 5 %

# The prior of 'unknown', per hour. 363 preemptions in 11,847 h of GCP's N1 machines in 2019, those that the limit of
# 24 h ended left out: 0.031. 3,412 ends of availability in 9,050 h of K80s and V100s of AWS in 2022 and 2023: 0.38.
UNKNOWN_PER_H = 0.03
UNKNOWN_GPU_PER_H = 0.4

# Snapshots of before there were rates have a word alone, of another scale.
_PER_H_OF_WORD = {"low": 0.003, "medium": 0.03, "high": 0.2}


@dataclass(frozen=True)
class Rate:
    """What a cloud tells of one pool."""

    per_h: float  #: interruptions per hour of running
    basis: str  #: who says so, what was said, and what was assumed


def word_of(per_h: float) -> Word:
    """The word for a rate."""
    if per_h < MEDIUM_FROM:
        return "low"
    return "medium" if per_h < HIGH_FROM else "high"


def of_month(least: float, most: float) -> Rate:
    """Of a band of the Spot Instance Advisor, in percent: of capacity, reclaimed in the trailing month."""
    share = (least + most) / 200
    said = f"{_band(least, most)} of capacity reclaimed in a month"
    return Rate(share / MONTH_H, f"Spot Instance Advisor: {said}; its middle, spread evenly over {MONTH_H:g} h")


def of_hour(least: float, most: float) -> Rate:
    """Of a band of Azure's, in percent: the chance of eviction within an hour."""
    said = f"{_band(least, most)} evicted per hour"
    return Rate((least + most) / 200, f"Azure Resource Graph: {said}; its middle")


def of_stops(share: float, days: int) -> Rate:
    """Of Compute Engine's history: preemptions among the spot VMs that stopped, 0..1, mean of some days."""
    said = f"{100 * share:.2g} % of the spot VMs that stopped in {days} days were preempted"
    return Rate(share / STOPPED_VM_H, f"Compute Engine history: {said}; taken to have run {STOPPED_VM_H:g} h each")


def _band(least: float, most: float) -> str:
    return f">{least:g} %" if most >= 100 else f"{least:g}-{most:g} %"


def word() -> pl.Expr:
    """Column `interruption`: the word for `interruptions_per_h`; unknown where that is null."""
    rate = pl.col("interruptions_per_h")
    told = pl.when(rate < MEDIUM_FROM).then(pl.lit("low")).when(rate < HIGH_FROM).then(pl.lit("medium"))
    return (
        pl.when(rate.is_null()).then(pl.lit("unknown")).otherwise(told.otherwise(pl.lit("high"))).alias("interruption")
    )


def rate() -> pl.Expr:
    """Column `rate`: interruptions per hour as told; where nobody tells, what was recorded of such machines."""
    unknown = pl.when(pl.col("gpu_count") > 0).then(UNKNOWN_GPU_PER_H).otherwise(UNKNOWN_PER_H)
    by_word = pl.col("interruption").replace_strict(_PER_H_OF_WORD, default=None, return_dtype=pl.Float64)
    return pl.coalesce("interruptions_per_h", by_word, unknown).alias("rate")
