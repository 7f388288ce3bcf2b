"""The rows of the table of attacks in docs/hostile.md: each attack and its outcome.

A test module has a list `ROWS` and tests each of them; the table is generated from the same lists.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One attack. `outcome` describes what its test asserts."""

    where: str  #: the attacked input or component, e.g. "lease", "checkpoint's file name", "program"
    attack: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.where}: {self.attack}"
