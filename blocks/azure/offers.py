"""Joins the tables of Azure into offers: prices of regions, sizes of the subscription, on-demand prices, evictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from spotwave.blocks.azure.evictions import RATES, interruptions
from spotwave.blocks.azure.list_prices import (
    BOOT_S,
    DISK_USD_GIB_MONTH,
    EGRESS_USD_GIB,
    IP_USD_H,
    NOTICE_S,
)
from spotwave.blocks.azure.shapes import shape
from spotwave.blocks.azure.size_names import family
from spotwave.blocks.azure.skus import SIZES
from spotwave.blocks.interruption_columns import word

NO_SHAPE = "shape unknown without credentials"
NOT_LISTED = "not among the sizes of its region"
ZONE_NOT_ALLOWED = "zone not available for this subscription"


def offers(
    spot: pl.DataFrame, tables: Mapping[str, pl.DataFrame], now: datetime
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return (rows with the market's columns, one per zone, or per region for a regional size; rows dropped by reason).

    spot: region, size, name, usd_h, as from `prices.usable`.
    tables: "on_demand" as `spot`; with credentials also "sizes" as `skus.SIZES` and "evictions" as `evictions.RATES`.
    """
    dropped: Counter[str] = Counter()
    if "sizes" in tables:
        known = tables["sizes"]
        # A region whose sizes could not be read is already in `missing`, so its prices are not counted as dropped.
        spot = spot.filter(pl.col("region").is_in(known["region"].unique().implode()))
        joined = spot.join(known, on=["region", "size"], how="left")
        why_not = pl.when(pl.col("instance_type").is_null()).then(pl.lit(NOT_LISTED)).otherwise(pl.col("why_not"))
    else:
        joined = spot.join(_by_name(spot), on="name", how="left")
        why_not = pl.when(pl.col("vcpus").is_null()).then(pl.lit(NO_SHAPE))
    joined = joined.with_columns(why_not=why_not)
    for reason, count in joined.drop_nulls("why_not").group_by("why_not").len().iter_rows():
        dropped[reason] += count
    good = joined.filter(pl.col("why_not").is_null())
    dropped[ZONE_NOT_ALLOWED] += int(good["zones_lost"].sum())
    rows = (
        good.explode("zones", empty_as_null=True)
        .join(tables["on_demand"].select("region", "size", on_demand_usd_h="usd_h"), on=["region", "size"], how="left")
        .join(interruptions(tables.get("evictions", pl.DataFrame(schema=RATES))), on=["region", "size"], how="left")
    )
    families = {name: family(name) for name in rows["instance_type"].unique()}
    return rows.with_columns(
        cloud=pl.lit("azure"),
        zone=pl.col("region") + "-" + pl.col("zones"),
        # Zones are specific to a subscription, and Azure has no account-independent name for them.
        zone_id=pl.lit(None, dtype=pl.String),
        family=pl.col("instance_type").replace_strict(families, default=None, return_dtype=pl.String),
        spot_usd_h=pl.col("usd_h"),
        interruption=word(),
        notice_s=pl.lit(NOTICE_S),
        bare_metal=pl.lit(False),
        boot_s=pl.lit(BOOT_S),
        disk_usd_gib_month=pl.lit(DISK_USD_GIB_MONTH),
        ip_usd_h=pl.lit(IP_USD_H),
        egress_usd_gib=pl.lit(EGRESS_USD_GIB),
        seen_at=pl.lit(now, dtype=pl.Datetime("us", "UTC")),
    ), dict(dropped)


def _by_name(spot: pl.DataFrame) -> pl.DataFrame:
    """Return the shapes that follow from the sizes' names, with the columns of `SIZES` that are known then."""
    names = spot["name"].unique().to_list()
    shapes = [(name, found) for name in names if (found := shape(name)) is not None]
    columns = ("vcpus", "cores", "memory_gib", "architecture", "gpu", "gpu_count", "gpu_memory_gib", "burstable")
    return pl.DataFrame(
        {
            "name": [name for name, _ in shapes],
            "instance_type": [name for name, _ in shapes],
            **{column: [getattr(found, column) for _, found in shapes] for column in columns},
            "zones": [[] for _ in shapes],
            "zones_lost": [0 for _ in shapes],
        },
        schema={
            "name": pl.String(),
            **{key: kind for key, kind in SIZES.items() if key not in ("region", "size", "why_not")},
        },
    )
