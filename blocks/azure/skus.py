"""Resource SKUs: the shape of every size in a region, where it may be deployed, and why not elsewhere.

Source: Azure Compute REST API, Resource Skus - List (2021-07-01). Capabilities are names and values, both text.
"""

from __future__ import annotations

import polars as pl

from spotwave.blocks.azure.gpus import gpus, no_gpu
from spotwave.blocks.azure.size_names import is_burstable

_TEXTS = pl.List(pl.String)

# The fields of a SKU that are read.
SKU: dict[str, pl.DataType] = {
    "name": pl.String(),
    "resourceType": pl.String(),
    "capabilities": pl.List(pl.Struct({"name": pl.String, "value": pl.String})),
    "locationInfo": pl.List(pl.Struct({"zones": _TEXTS})),
    "restrictions": pl.List(pl.Struct({"type": pl.String, "restrictionInfo": pl.Struct({"zones": _TEXTS})})),
}
_READ = [
    "vCPUs",
    "vCPUsAvailable",  # fewer than vCPUs on constrained sizes
    "vCPUsPerCore",
    "MemoryGB",  # GiB, and "0.75" is one
    "CpuArchitectureType",
    "LowPriorityCapable",
    "GPUs",
]
_ARCHITECTURES = {"x64": "x86_64", "Arm64": "arm64"}

NOT_ALLOWED = "not available for this subscription"
NOT_SPOT = "a size that cannot be deployed as spot"
NO_SHAPE = "a size listed without vCPUs or memory"
NO_GPU = "accelerator that is not a GPU"
NO_SHARE = "GPUs of unknown number or share"

#: zones: empty if the size is regional; zones_lost: number of zones removed by restrictions
SIZES: dict[str, pl.DataType] = {
    "region": pl.String(),
    "size": pl.String(),
    "instance_type": pl.String(),
    "vcpus": pl.Int32(),
    "cores": pl.Float64(),
    "memory_gib": pl.Float64(),
    "architecture": pl.String(),
    "gpu": pl.String(),
    "gpu_count": pl.Float64(),
    "gpu_memory_gib": pl.Float64(),
    "burstable": pl.Boolean(),
    "zones": _TEXTS,
    "zones_lost": pl.UInt32(),
    "why_not": pl.String(),
}


def sizes(skus: pl.DataFrame, region: str) -> pl.DataFrame:
    """Convert the SKUs of a region to `SIZES`; `why_not` is the reason why a size is unusable, else null."""
    machines = (
        skus.filter(pl.col("resourceType") == "virtualMachines")
        .unique("name", keep="first", maintain_order=True)
        .with_row_index("row")
    )
    columns = _columns(machines)
    count = pl.col("GPUs").cast(pl.Float64, strict=False).fill_null(0.0)
    named = pl.DataFrame(
        [_of_name(*row) for row in columns.select("name", count.alias("count")).iter_rows()],
        schema={name: SIZES[name] for name in ("gpu", "gpu_count", "gpu_memory_gib", "burstable", "why_not")},
        orient="row",
    )
    rows = pl.concat([columns, named], how="horizontal").with_columns(
        region=pl.lit(region),
        size=pl.col("name").str.to_lowercase(),
        instance_type=pl.col("name"),
        zones=pl.col("offered").list.set_difference("lost").list.sort(),
        zones_lost=pl.col("offered").list.set_intersection("lost").list.len(),
    )
    nowhere_left = (pl.col("zones_lost") > 0) & (pl.col("zones").list.len() == 0)
    why_not = (
        pl.when(pl.col("everywhere") | nowhere_left)
        .then(pl.lit(NOT_ALLOWED))
        .when(pl.col("LowPriorityCapable") == "False")
        .then(pl.lit(NOT_SPOT))
        .when(pl.col("vcpus").is_null() | pl.col("memory_gib").is_null())
        .then(pl.lit(NO_SHAPE))
        .otherwise("why_not")
    )
    return rows.with_columns(why_not=why_not).select(pl.col(name).cast(kind) for name, kind in SIZES.items())


def _columns(machines: pl.DataFrame) -> pl.DataFrame:
    """Return the SKUs' capabilities, zones and restrictions as columns, in the same order."""
    capabilities = (
        machines.select("row", "capabilities")
        .explode("capabilities")
        .select("row", key=pl.col("capabilities").struct["name"], value=pl.col("capabilities").struct["value"])
        .filter(pl.col("key").is_in(_READ))
        .group_by("row")
        .agg(pl.col("value").filter(pl.col("key") == key).first().alias(key) for key in _READ)
    )
    restrictions = (
        machines.select("row", "restrictions")
        .explode("restrictions")
        .drop_nulls("restrictions")
        .unnest("restrictions")
        .group_by("row")
        .agg(
            everywhere=(pl.col("type") == "Location").any(),
            lost=pl.col("restrictionInfo").struct["zones"].filter(pl.col("type") == "Zone").explode().drop_nulls(),
        )
    )
    none = pl.lit([], dtype=_TEXTS)
    vcpus = pl.coalesce("vCPUsAvailable", "vCPUs").cast(pl.Int32, strict=False)
    return (
        machines.select("row", "name", offered=pl.col("locationInfo").list.first().struct["zones"])
        .join(capabilities, on="row", how="left")
        .join(restrictions, on="row", how="left")
        .sort("row")
        .with_columns(
            pl.col("offered").fill_null(none),
            pl.col("lost").fill_null(none),
            pl.col("everywhere").fill_null(False),
            vcpus=vcpus,
            cores=vcpus / pl.coalesce(pl.col("vCPUsPerCore").cast(pl.Float64, strict=False), 1.0),
            memory_gib=pl.col("MemoryGB").cast(pl.Float64, strict=False),
            architecture=pl.col("CpuArchitectureType").replace_strict(_ARCHITECTURES, default=None),
        )
    )


def _of_name(size: str, listed: float) -> tuple[str | None, float | None, float | None, bool, str | None]:
    """Return GPU, count, GiB of each, burstable, and why the size is unusable. listed: number of GPUs in the SKU."""
    if no_gpu(size):
        return None, 0.0, None, False, NO_GPU
    found = gpus(size)
    if found is None:
        return None, listed, None, is_burstable(size), None
    # Never 0: a graphics machine must not look like an expensive one without GPU.
    count = found.count or (None if found.parts else listed or None)
    if count is None:
        return None, None, None, False, NO_SHARE
    if found.card is None:
        return None, count, None, False, None
    return found.card.name, count, found.card.part_gib(count), False, None
