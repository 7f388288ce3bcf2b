"""Format an energy with the digits that its error justifies."""

from __future__ import annotations

import math


def in_digits(value: float, error: float | None) -> str:
    """Format an energy and its error, both in Hartree, with significant digits only: -152.25416 +/- 0.0002.

    Eight decimals if there is no error estimate.
    """
    if error is None or not math.isfinite(error):
        return f"{value:.8f}"
    decimals = 10 if error < 1e-9 else min(10, max(2, math.ceil(-math.log10(error)) + 1))
    return f"{value:.{decimals}f} +/- {error:.0e}"
