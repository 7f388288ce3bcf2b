"""Test parameters from rows and their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from _pytest.mark import ParameterSet

from tests.security.rows import Row


def rows_of(where: str, cases: Sequence[tuple[str, object, str]]) -> list[Row]:
    """Return rows for `cases`: (attack, input, outcome)."""
    return [Row(where, attack, outcome) for attack, _, outcome in cases]


def params(rows: Sequence[Row], tried: Iterable[object]) -> list[ParameterSet]:
    return [pytest.param(row, one, id=row.attack) for row, one in zip(rows, tried, strict=True)]
