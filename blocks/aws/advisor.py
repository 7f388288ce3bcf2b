"""How often spot machines are taken back: the data file of Amazon's Spot Instance Advisor, public and undocumented."""

from __future__ import annotations

from typing import Any

import polars as pl

from blocks.aws.reading import Part
from blocks.cloud import Interruption, Tell
from blocks.gather import Unavailable
from blocks.http import get_json, session

INTERRUPTIONS = {"region": pl.String, "instance_type": pl.String, "interruption": pl.String}
PATH = "/spot-advisor-data.json"
TABLE = "interruption table"


def read_interruptions(endpoint: str, tell: Tell) -> Part:
    """The advisor's word for every type in every region."""
    try:
        found = Part(interruptions_frame(get_json(session(1), endpoint + PATH)))
    except Unavailable as error:
        found = Part(pl.DataFrame(schema=INTERRUPTIONS), {TABLE: str(error)})
    tell(1, 1)
    return found


def interruptions_frame(table: Any) -> pl.DataFrame:
    """The Linux rows of the file. Raises Unavailable for what is no such file.

    `r` is an index into `ranges`: the share of a type's instances that were taken back over the last month.
    """
    try:
        words = {one["index"]: _word(one["max"]) for one in table["ranges"]}
        rows = [
            (region, name, words.get(row.get("r"), "unknown"))
            for region, systems in table["spot_advisor"].items()
            for name, row in systems.get("Linux", {}).items()
        ]
    except (LookupError, TypeError, AttributeError) as error:
        raise Unavailable("the Spot Advisor's file has changed its form") from error
    if not rows:
        raise Unavailable("the Spot Advisor's file lists nothing")
    return pl.DataFrame(rows, schema=INTERRUPTIONS, orient="row")


def _word(most: float) -> Interruption:
    """Of a range's `max`, in percent; those of the file are 5, 11, 16, 22 and 100, for <5, 5-10, 10-15, 15-20, >20."""
    if most <= 5:
        return "low"
    return "medium" if most <= 16 else "high"
