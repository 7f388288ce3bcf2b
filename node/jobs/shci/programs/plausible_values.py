"""Ranges of plausible values in a program's output, which may contain anything."""

from __future__ import annotations

import math

MOST_HARTREE = 1e7  # a uranium atom has 3e4
MOST_DETERMINANTS = 10**15
MOST_SECONDS = 1e10
MOST_ITERATIONS = 100_000


def energy(what: str, value: object) -> float:
    """Return a valid energy in Hartree. Raises ValueError otherwise."""
    return _number(what, value, -MOST_HARTREE, MOST_HARTREE)


def seconds(what: str, value: object) -> float:
    return _number(what, value, 0.0, MOST_SECONDS)


def s_squared(value: object) -> float:
    """Return a valid <S^2>, of at most a thousand unpaired electrons. Raises ValueError otherwise."""
    return _number("<S^2>", value, -1e-6, 1e6)


def count(what: str, value: object, most: int) -> int:
    """Return a valid whole number from 0 to `most`. Raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{what} is not a whole number from 0 to {most}")
    return value


def _number(what: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{what} is not a number from {least:g} to {most:g}")
    if not math.isfinite(value):
        raise ValueError(f"{what} is not finite")
    return float(value)
