"""What all tables of the wing share: a part of the market as it was read, and progress added up over them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import polars as pl

from blocks.cloud import Tell


@dataclass(frozen=True)
class Part:
    """One table, and the places that did not answer: {place: why}."""

    frame: pl.DataFrame
    missing: dict[str, str] = field(default_factory=dict)


class Progress:
    """Tells of several gathers that run at once as if they were one."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._parts: list[tuple[int, int]] = []

    def part(self) -> Tell:
        with self._lock:
            place = len(self._parts)
            self._parts.append((0, 0))

        def told(done: int, total: int) -> None:
            with self._lock:
                self._parts[place] = (done, total)
                self._tell(sum(part[0] for part in self._parts), sum(part[1] for part in self._parts))

        return told


def named(failed: dict[str, str], table: str, asked: int) -> dict[str, str]:
    """Failures by region as `missing` names those of a table: once, where the whole table is missing."""
    if failed and len(failed) == asked:
        return {table: next(iter(failed.values()))}
    return {f"{table} of {region}": why for region, why in failed.items()}
