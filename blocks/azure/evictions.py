"""Eviction rates: the query to Resource Graph, and the conversion of Azure's bands to interruptions per hour.

Source: Azure Resource Graph, table SpotResources: chance of eviction per hour, from up to 28 days of data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from spotwave.blocks.interruption import of_hour

# One row per region and rate, not per size: Resource Graph returns 1,000 rows per page and allows only a few queries a
# second, so forty pages in sequence would take longer than the rest of the catalogue.
QUERY = """SpotResources
| where type =~ 'microsoft.compute/skuspotevictionrate/location'
| summarize sizes=make_list(tostring(sku.name)) by location, rate=tostring(properties.evictionRate)"""

#: size: lower case; rate: percent per hour, e.g. '0-5' or '20+'
RATES: dict[str, pl.DataType] = {"region": pl.String(), "size": pl.String(), "rate": pl.String()}

#: limits of each band, percent per hour
_BANDS = {"0-5": (0, 5), "5-10": (5, 10), "10-15": (10, 15), "15-20": (15, 20), "20+": (20, 100)}


def rates(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Convert the rows of `QUERY` to `RATES`."""
    found = list(rows)
    columns = {"region": "location", "rate": "rate", "sizes": "sizes"}
    frame = pl.DataFrame(
        {name: [row.get(key) for row in found] for name, key in columns.items()},
        schema={"region": pl.String, "rate": pl.String, "sizes": pl.List(pl.String)},
    )
    size = pl.col("sizes").str.to_lowercase()
    return frame.explode("sizes").select("region", size.alias("size"), "rate").drop_nulls().unique(["region", "size"])


def interruptions(known: pl.DataFrame) -> pl.DataFrame:
    """Return region, size, interruptions_per_h and interruption_basis; the last two are null for an unknown band."""
    by_band = {band: of_hour(least, most) for band, (least, most) in _BANDS.items()}
    per_h = {band: rate.per_h for band, rate in by_band.items()}
    basis = {band: rate.basis for band, rate in by_band.items()}
    return known.select(
        "region",
        "size",
        interruptions_per_h=pl.col("rate").replace_strict(per_h, default=None, return_dtype=pl.Float64),
        interruption_basis=pl.col("rate").replace_strict(basis, default=None, return_dtype=pl.String),
    )
