"""Expected cost of a job on every offer of a market. USD and hours."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from spotwave.blocks.interruption_columns import rate
from spotwave.blocks.models import HOURS_A_MONTH
from spotwave.tasks.market.speed import with_speed

CHECKPOINT_S = 30.0  # assumed until a run has measured it


@dataclass(frozen=True)
class Work:
    """The amount of work, as far as the cost depends on it."""

    core_h: float  #: core-hours of a reference core (tasks.market.speed)
    disk_gib: float = 20.0  #: size of the boot disk
    results_gib: float = 0.1  #: downloaded, so billed as egress
    checkpoint_s: float = CHECKPOINT_S  #: time to write and upload a checkpoint


def waste(checkpoint_s: float = CHECKPOINT_S) -> pl.Expr:
    """Return column `waste`: the share of time lost, from columns `rate` (1/h) and `boot_s`; between 0 and 0.95.

    With checkpoints of cost C every T = sqrt(2 C / rate) (Young 1974, Commun. ACM 17, 530), a machine loses C/T
    to checkpoints, rate * T/2 to repeated work, and rate * (boot + restore) to restarts.
    """
    checkpoint_h = checkpoint_s / 3600
    per_h, restart_h = pl.col("rate"), pl.col("boot_s") / 3600 + checkpoint_h
    young = (2 * checkpoint_h * per_h).sqrt()  # = C/T + rate * T/2
    return (young + per_h * restart_h).clip(0.0, 0.95).alias("waste")


def with_cost(offers: pl.DataFrame, work: Work, speeds: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return the offers with every term of the expected cost to finish, and the sum `expected_usd`:

    speed, measured_speed   of one physical core (tasks.market.speed)
    rate, waste             interruptions per hour (blocks.interruption), share of the time lost to them
    hours                   boot + work / (cores x speed) / (1 - waste)
    machine_usd, disk_usd, ip_usd   hours x price per hour of each
    egress_usd              results x price per GiB
    """
    hours = pl.col("boot_s") / 3600 + (work.core_h / (pl.col("cores") * pl.col("speed"))) / (1 - pl.col("waste"))
    disk_usd_h = pl.col("disk_usd_gib_month") * work.disk_gib / HOURS_A_MONTH
    terms = ("machine_usd", "disk_usd", "ip_usd", "egress_usd")
    return (
        with_speed(offers, speeds)
        .with_columns(rate())
        .with_columns(waste(work.checkpoint_s))
        .with_columns(hours=hours)
        .with_columns(
            machine_usd=pl.col("spot_usd_h") * pl.col("hours"),
            disk_usd=disk_usd_h * pl.col("hours"),
            ip_usd=pl.col("ip_usd_h") * pl.col("hours"),
            egress_usd=pl.col("egress_usd_gib") * work.results_gib,
        )
        .with_columns(expected_usd=pl.sum_horizontal(terms))
    )
