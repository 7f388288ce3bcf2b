"""Interruption rates from the data file of Amazon's Spot Instance Advisor, which is public but undocumented."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from spotwave.blocks.aws.table_part import Part
from spotwave.blocks.concurrent import OnProgress, Unavailable
from spotwave.blocks.http import get_json, session
from spotwave.blocks.interruption import Rate, of_month

INTERRUPTIONS = {
    "region": pl.String,
    "instance_type": pl.String,
    "interruptions_per_h": pl.Float64,
    "interruption_basis": pl.String,
}
PATH = "/spot-advisor-data.json"
TABLE = "interruption table"
_LABEL = re.compile(r"(?P<open>[<>]\d+)%|(?P<least>\d+)-(?P<most>\d+)%")


def read_interruptions(endpoint: str, tell: OnProgress) -> Part:
    """Return the advisor's rate for every type in every region."""
    try:
        found = Part(interruptions_frame(get_json(session(1), endpoint + PATH)))
    except Unavailable as error:
        found = Part(pl.DataFrame(schema=INTERRUPTIONS), {TABLE: str(error)})
    tell(1, 1)
    return found


def interruptions_frame(table: Any) -> pl.DataFrame:
    """Return the Linux rows of the file. Raises Unavailable if the file has another format.

    `r` is an index into `ranges`: the share of a type's capacity that was reclaimed over the trailing month. If that
    range is not listed, the rate is null.
    """
    try:
        rates = {one["index"]: _rate(one["label"]) for one in table["ranges"]}
        indexed = [
            (region, name, rates.get(row.get("r")))
            for region, systems in table["spot_advisor"].items()
            for name, row in systems.get("Linux", {}).items()
        ]
        rows = [(region, name, rate and rate.per_h, rate and rate.basis) for region, name, rate in indexed]
    except (LookupError, TypeError, AttributeError) as error:
        raise Unavailable("the Spot Advisor's file has an unknown format") from error
    if not rows:
        raise Unavailable("the Spot Advisor's file has no rows")
    return pl.DataFrame(rows, schema=INTERRUPTIONS, orient="row")


def _rate(label: str) -> Rate | None:
    """Parse a range's label, e.g. '<5%', '5-10%' or '>20%'; the file's `max` has 11, 16 and 22 for 10, 15 and 20."""
    found = _LABEL.fullmatch(label)
    if found is None:
        return None
    if found["open"]:
        figure = float(found["open"][1:])
        return of_month(0, figure) if found["open"][0] == "<" else of_month(figure, 100)
    return of_month(float(found["least"]), float(found["most"]))
