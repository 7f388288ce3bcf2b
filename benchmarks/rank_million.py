"""Seconds to filter and rank one million offers.

    python -m benchmarks.rank_million [--rounds 5]

The market is synthetic: 1,500 instance types in 400 zones of three clouds. Prints `rank_million_seconds` (the median)
and `rank_million_peak_gib` (of the whole process, the market itself included).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from datetime import UTC, datetime

import numpy as np
import polars as pl

from spotwave.blocks.market import SCHEMA, Market
from spotwave.blocks.models import Requirements
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank

OFFERS = 1_000_000
TYPES = 1_500


def million() -> Market:
    """Return reproducible offers of all sizes, prices and architectures."""
    dice = np.random.default_rng(7)
    vcpus = dice.choice([2, 4, 8, 16, 32, 48, 64, 96], TYPES)
    names = pl.DataFrame(
        {
            "number": np.arange(TYPES),
            "cloud": [("aws", "gcp", "azure")[n % 3] for n in range(TYPES)],
            "instance_type": [f"f{n % 97}.{n}xlarge" for n in range(TYPES)],
            "family": [f"f{n % 97}" for n in range(TYPES)],
            "vcpus": vcpus,
            "cores": vcpus / 2,
            "memory_gib": vcpus * dice.choice([2.0, 4.0, 8.0], TYPES),
            "architecture": ["arm64" if n % 5 == 0 else "x86_64" for n in range(TYPES)],
            "burstable": [n % 31 == 0 for n in range(TYPES)],
            "bare_metal": [n % 41 == 0 for n in range(TYPES)],
        }
    )
    zones = dice.integers(0, 400, OFFERS)
    offers = pl.DataFrame({"number": dice.integers(0, TYPES, OFFERS), "z": zones, "luck": dice.random(OFFERS)})
    frame = offers.join(names, on="number", maintain_order="left").with_columns(
        region=pl.format("region-{}", pl.col("z") // 3),
        zone=pl.format("region-{}-{}", pl.col("z") // 3, pl.col("z") % 3),
        spot_usd_h=pl.col("vcpus") * (0.005 + 0.02 * pl.col("luck")),
        on_demand_usd_h=pl.col("vcpus") * 0.05,
        interruption=pl.when(pl.col("luck") < 0.5).then(pl.lit("low")).otherwise(pl.lit("unknown")),
        gpu_count=pl.lit(0.0),
        notice_s=pl.lit(30.0),
        boot_s=pl.lit(120.0),
        disk_usd_gib_month=pl.lit(0.1),
        ip_usd_h=pl.lit(0.005),
        egress_usd_gib=pl.lit(0.1),
        seen_at=pl.lit(datetime(2026, 1, 1, tzinfo=UTC)),
    )
    known = set(frame.columns)
    columns = [
        (pl.col(name) if name in known else pl.lit(None)).cast(kept).alias(name) for name, kept in SCHEMA.items()
    ]
    return Market(frame.select(columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    market = million()
    wanted = Requirements(min_vcpus=16, max_vcpus=32, min_memory_gib=64, max_memory_gib=256, architectures=["x86_64"])
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        choice = rank(market, wanted, Work(core_h=100.0), {})
        seconds.append(time.perf_counter() - started)
    assert choice.seen == OFFERS
    assert choice.ranked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "linux" else 1 << 30)
    sys.stdout.write(f"rank_million_seconds {statistics.median(seconds):.3f}\n")
    sys.stdout.write(f"rank_million_peak_gib {peak:.2f}\n")


if __name__ == "__main__":
    main()
