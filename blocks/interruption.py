"""Interruption rates: the figures of every cloud, converted to interruptions per hour of running, with their basis.

| source | published figure | interruptions per hour |
|--|--|--|
| AWS, Spot Instance Advisor | bands of the share of capacity that was reclaimed in the trailing month | middle / 720 |
| Azure, Resource Graph (SpotResources) | bands of the chance of eviction within an hour | middle |
| GCP, advice.capacityHistory | the share of preemptions among the spot VMs that stopped, by day | share / 8.2 |

A band is represented by its middle; a band without an upper end extends to 100 %. If nothing is published, the rate
is the recorded one (benchmarks/interruption_rates.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Word = Literal["low", "medium", "high", "unknown"]

MONTH_H = 720.0  #: the Advisor's trailing month: 30 days
# Google does not publish how long the stopped VMs had run. For 1,442 VMs in 2019 the mean was 8.2 h; the share of
# preemptions divided by it is the rate per hour.
STOPPED_VM_H = 8.2

MEDIUM_FROM = 0.01  #: per hour: one loss in four days costs 1.5 % of the time
HIGH_FROM = 0.1  #: per hour: one in ten hours, 5 %

# The prior for 'unknown', per hour. GCP N1 machines in 2019: 363 preemptions in 11,847 h (machines ended by the 24 h
# limit are left out): 0.031. AWS K80s and V100s in 2022 and 2023: 3,412 ends of availability in 9,050 h: 0.38.
UNKNOWN_PER_H = 0.03
UNKNOWN_GPU_PER_H = 0.4


@dataclass(frozen=True)
class Rate:
    """The interruption rate of one pool."""

    per_h: float  #: interruptions per hour of running
    basis: str  #: the source, its figure, and the assumptions


def word_of(per_h: float) -> Word:
    """Return the word for a rate."""
    if per_h < MEDIUM_FROM:
        return "low"
    return "medium" if per_h < HIGH_FROM else "high"


def of_month(least: float, most: float) -> Rate:
    """Convert a band of the Spot Instance Advisor: percent of capacity reclaimed in the trailing month."""
    share = (least + most) / 200
    figure = f"{_band(least, most)} of capacity reclaimed in a month"
    return Rate(share / MONTH_H, f"Spot Instance Advisor: {figure}; its middle, spread evenly over {MONTH_H:g} h")


def of_hour(least: float, most: float) -> Rate:
    """Convert an Azure band: percent chance of eviction within an hour."""
    figure = f"{_band(least, most)} evicted per hour"
    return Rate((least + most) / 200, f"Azure Resource Graph: {figure}; its middle")


def of_stops(share: float, days: int) -> Rate:
    """Convert a Compute Engine history: share of preemptions among the stopped spot VMs, 0..1, mean of some days."""
    figure = f"{100 * share:.2g} % of the spot VMs that stopped in {days} days were preempted"
    return Rate(share / STOPPED_VM_H, f"Compute Engine history: {figure}; assumed to have run {STOPPED_VM_H:g} h each")


def _band(least: float, most: float) -> str:
    return f">{least:g} %" if most >= 100 else f"{least:g}-{most:g} %"
