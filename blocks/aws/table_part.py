"""What all tables of the wing share: a part of the market as it was read, and the names of what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Part:
    """One table, and the places that did not answer: {place: why}."""

    frame: pl.DataFrame
    missing: dict[str, str] = field(default_factory=dict)


def named(failed: dict[str, str], table: str, asked: int) -> dict[str, str]:
    """Failures by region as `missing` names those of a table: once, where the whole table is missing."""
    if failed and len(failed) == asked:
        return {table: next(iter(failed.values()))}
    return {f"{table} of {region}": why for region, why in failed.items()}
