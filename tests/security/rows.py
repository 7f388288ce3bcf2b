"""The rows of the table of hostile letters, names and programs (docs/hostile.md): what is tried, what comes of it.

A test module keeps a list `ROWS` and carries each of them through; the table is written from the same lists.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One attack. `outcome` is what its test asserts, in words."""

    where: str  #: where it enters, e.g. "lease", "checkpoint's file name", "program"
    attack: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.where}: {self.attack}"
