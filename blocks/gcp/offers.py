"""Machine types times unit prices: pure functions from these two tables to offers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from spotwave.blocks.gcp import list_prices
from spotwave.blocks.gcp.families import (
    BILLED_VCPUS,
    GPUS,
    SSD_GIB,
    SSD_GIB_OF_FAMILY,
    SSD_GIB_OF_TYPE,
    VCPUS_OF_A_GPU,
    WHOLE_VM,
    WITH_SSD,
    family_of,
)
from spotwave.blocks.gcp.skus import CORE, GPU, RAM, SSD, WHOLE
from spotwave.blocks.gpus import card

_SHAPES: dict[str, pl.DataType] = {
    "instance_type": pl.String(),
    "family": pl.String(),
    "cores": pl.Float64(),
    "architecture": pl.String(),
    "gpu": pl.String(),
    "gpu_count": pl.Float64(),
    "gpu_memory_gib": pl.Float64(),
    "bare_metal": pl.Boolean(),
    "why_not": pl.String(),
}
_NEEDS: dict[str, pl.DataType] = {
    "instance_type": pl.String(),
    "part": pl.String(),
    "sku": pl.String(),
    "amount": pl.Float64(),
}
_ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}
Row = Mapping[str, Any]
Need = tuple[str, str, float]  # part, SKU, amount


def offers(types: pl.DataFrame, prices: pl.DataFrame, seen_at: datetime) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return (an offer for every machine type and zone, with the market's columns; number of rows dropped, by reason).

    types: from machine_types.py; prices: from skus.py. The price of a machine is the sum of its parts,
    vCPUs x core + GiB x RAM + GPUs x GPU + GiB x local SSD (Compute Engine, VM instance pricing). A machine without a
    spot SKU for each part in its region is dropped.
    """
    shapes, needs = _shaped(types)
    placed = types.select("instance_type", "region").unique()
    priced = (
        placed.join(needs, on="instance_type", maintain_order="left_right")
        .join(prices, on=["part", "sku", "region"], how="left", maintain_order="left")
        .group_by("instance_type", "region")
        .agg(
            spot_usd_h=_sum("spot_usd"),
            on_demand_usd_h=_sum("on_demand_usd"),
            lacking=pl.col("part").filter(pl.col("spot_usd").is_null()).first(),
        )
    )
    judged = (
        types.drop("architecture")
        .join(shapes, on="instance_type", maintain_order="left")
        .join(priced, on=["instance_type", "region"], how="left", maintain_order="left")
        .with_columns(why_not=pl.coalesce("why_not", pl.lit("no spot SKU for its ") + pl.col("lacking")))
    )
    dropped = dict(judged.drop_nulls("why_not").group_by("why_not").len().iter_rows())
    metal = pl.col("bare_metal")
    return judged.filter(pl.col("why_not").is_null()).with_columns(
        cloud=pl.lit("gcp"),
        zone_id=pl.lit(None, dtype=pl.String),
        interruption=pl.lit("unknown"),
        interruptions_per_h=pl.lit(None, dtype=pl.Float64),
        interruption_basis=pl.lit(None, dtype=pl.String),
        notice_s=pl.lit(list_prices.NOTICE_S),
        boot_s=pl.when(metal).then(list_prices.METAL_BOOT_S).otherwise(list_prices.BOOT_S),
        disk_usd_gib_month=pl.lit(list_prices.DISK_USD_GIB_MONTH),
        ip_usd_h=pl.lit(list_prices.IP_USD_H),
        egress_usd_gib=pl.lit(list_prices.EGRESS_USD_GIB),
        seen_at=pl.lit(seen_at, dtype=pl.Datetime("us", "UTC")),
    ), dropped


def _sum(usd: str) -> pl.Expr:
    """Sum the prices of all parts; null if one has no price."""
    return pl.when(pl.col(usd).is_null().any()).then(None).otherwise((pl.col("amount") * pl.col(usd)).sum())


def _shaped(types: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the shape and the billed parts of each type. A type is the same in all zones: some hundreds of rows."""
    shapes: list[tuple[Any, ...]] = []
    needs: list[tuple[Any, ...]] = []
    for row in types.unique("instance_type", keep="first", maintain_order=True).iter_rows(named=True):
        name = row["instance_type"]
        family, gpu_count = family_of(name), _gpu_count(row)
        known = card(GPUS[row["accelerator"]][0]) if row["accelerator"] in GPUS else None
        shapes.append(
            (
                name,
                name.partition("-")[0],
                row["vcpus"] / family.threads,
                _ARCHITECTURES.get(row["architecture"], "arm64" if family.arm else "x86_64"),
                known.name if known else None,
                gpu_count,
                known.part_gib(gpu_count) if known else None,
                name.endswith("-metal"),
                _why_not(row),
            )
        )
        needs += [(name, *need) for need in _needs(row, gpu_count)]
    return pl.DataFrame(shapes, _SHAPES, orient="row"), pl.DataFrame(needs, _NEEDS, orient="row")


def _why_not(row: Row) -> str | None:
    """Return why the price of a type would be a guess, probably far too low; None if it is known."""
    name, family = row["instance_type"], family_of(row["instance_type"])
    if not family.sku:
        return "family without known SKUs"
    if row["burstable"] and name not in WHOLE_VM and name not in BILLED_VCPUS:
        return "shared-core type of unknown share"
    if row["accelerator"] is None:
        if family.gpu:
            return "GPU not named"
    elif row["accelerator"] not in GPUS:
        return "GPU without known SKUs"
    has_ssd = name.startswith(WITH_SSD) or "lssd" in name
    if has_ssd and "nolssd" not in name and not _ssd_gib(row):
        return "local SSD of unknown size"
    return None


def _needs(row: Row, gpu_count: float) -> list[Need]:
    """Return the parts that a type is billed by; the first without a price is the reported one."""
    name, family = row["instance_type"], family_of(row["instance_type"])
    if name in WHOLE_VM:
        return [(WHOLE, WHOLE_VM[name], 1.0)]
    needs = [
        (CORE, family.sku, BILLED_VCPUS.get(name, float(row["vcpus"]))),
        (RAM, family.sku, row["memory_gib"]),
    ]
    if row["accelerator"] in GPUS:
        needs.append((GPU, GPUS[row["accelerator"]][1], gpu_count))
    if gib := _ssd_gib(row):
        needs.append((SSD, family.ssd, gib))
    return needs


def _gpu_count(row: Row) -> float:
    if row["accelerator"] is None:
        return 0.0
    vcpus = VCPUS_OF_A_GPU.get(row["instance_type"].partition("-")[0])
    return row["vcpus"] / vcpus if vcpus else float(row["accelerators"])


def _ssd_gib(row: Row) -> float:
    """Return the GiB of bundled local SSD."""
    name: str = row["instance_type"]
    partition = SSD_GIB_OF_FAMILY.get(name.partition("-")[0], SSD_GIB)
    return SSD_GIB_OF_TYPE.get(name, int(row["ssd_partitions"]) * partition)
