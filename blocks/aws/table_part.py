"""Shared by all tables of the AWS market: a table as it was read, and the names of what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Part:
    """One table, and the places that could not be read: {place: why}."""

    frame: pl.DataFrame
    missing: dict[str, str] = field(default_factory=dict)


def named(failed: dict[str, str], table: str, asked: int) -> dict[str, str]:
    """Return failures by region as entries for `missing`: one entry if the whole table is missing."""
    if failed and len(failed) == asked:
        return {table: next(iter(failed.values()))}
    return {f"{table} of {region}": why for region, why in failed.items()}
