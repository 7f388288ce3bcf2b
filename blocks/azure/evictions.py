"""Eviction rates: what to ask Resource Graph, and the vendor's bands in the convention of all clouds.

Source: Azure Resource Graph, table SpotResources: chance of eviction per hour, by data of up to 28 days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from spotwave.blocks.interruption import of_hour

# One row for each region and rate, not one for each size: Resource Graph gives 1,000 rows a page and takes few
# questions a second, so forty pages one after the other would cost more than the rest of the catalogue.
QUERY = """SpotResources
| where type =~ 'microsoft.compute/skuspotevictionrate/location'
| summarize sizes=make_list(tostring(sku.name)) by location, rate=tostring(properties.evictionRate)"""

#: size: in lower case; rate: percent per hour, as '0-5' or '20+'
RATES: dict[str, pl.DataType] = {"region": pl.String(), "size": pl.String(), "rate": pl.String()}

#: the band of each rate, percent per hour
_BANDS = {"0-5": (0, 5), "5-10": (5, 10), "10-15": (10, 15), "15-20": (15, 20), "20+": (20, 100)}


def rates(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The rows that `QUERY` gives, as `RATES`."""
    found = list(rows)
    columns = {"region": "location", "rate": "rate", "sizes": "sizes"}
    frame = pl.DataFrame(
        {name: [row.get(key) for row in found] for name, key in columns.items()},
        schema={"region": pl.String, "rate": pl.String, "sizes": pl.List(pl.String)},
    )
    size = pl.col("sizes").str.to_lowercase()
    return frame.explode("sizes").select("region", size.alias("size"), "rate").drop_nulls().unique(["region", "size"])


def interruptions(known: pl.DataFrame) -> pl.DataFrame:
    """region, size, interruptions_per_h and interruption_basis; the last two null for a band that we do not know."""
    told = {band: of_hour(least, most) for band, (least, most) in _BANDS.items()}
    per_h = {band: rate.per_h for band, rate in told.items()}
    basis = {band: rate.basis for band, rate in told.items()}
    return known.select(
        "region",
        "size",
        interruptions_per_h=pl.col("rate").replace_strict(per_h, default=None, return_dtype=pl.Float64),
        interruption_basis=pl.col("rate").replace_strict(basis, default=None, return_dtype=pl.String),
    )
