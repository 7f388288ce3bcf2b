"""Eviction rates: what to ask Resource Graph, and the vendor's numbers in the words of all clouds.

Source: Azure Resource Graph, table SpotResources: chance of eviction per hour, by data of up to 28 days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

# One row for each region and rate, not one for each size: Resource Graph gives 1,000 rows a page and takes few
# questions a second, so forty pages one after the other would cost more than the rest of the catalogue.
QUERY = """SpotResources
| where type =~ 'microsoft.compute/skuspotevictionrate/location'
| summarize sizes=make_list(tostring(sku.name)) by location, rate=tostring(properties.evictionRate)"""

#: size: in lower case; rate: percent per hour, as '0-5' or '20+'
RATES: dict[str, pl.DataType] = {"region": pl.String(), "size": pl.String(), "rate": pl.String()}

_WORDS = {"0-5": "low", "5-10": "medium", "10-15": "medium", "15-20": "high", "20+": "high"}


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
    """region, size and interruption: low, medium, high, or unknown for a rate that we do not know."""
    word = pl.col("rate").replace_strict(_WORDS, default="unknown", return_dtype=pl.String)
    return known.select("region", "size", interruption=word)
