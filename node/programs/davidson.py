"""The lowest eigenpair of a large symmetric matrix, always the same one for the same input.

E. R. Davidson, J. Comput. Phys. 17, 87 (1975), with diagonal preconditioning and a restart of the subspace.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class NotConverged(RuntimeError):
    """The residual is still too large after the iterations allowed."""


def lowest_eigenpair(
    apply: Callable[[Vector], Vector],
    diagonal: Vector,
    start: Vector,
    *,
    tolerance: float = 1e-8,
    max_iterations: int = 300,
    subspace: int = 16,
) -> tuple[float, Vector]:
    """Eigenvalue and normalised eigenvector (first guess `start`), with |H c - E c| < `tolerance`.

    The energy is then accurate to tolerance^2 / gap. Raises NotConverged.
    """
    size = len(diagonal)
    if size == 1:
        return float(diagonal[0]), np.ones(1)
    basis = np.empty((min(subspace, size), size))
    images = np.empty_like(basis)
    basis[0] = start / np.linalg.norm(start)
    images[0] = apply(basis[0])
    filled = 1
    norm = np.inf
    for _ in range(max_iterations):
        small = basis[:filled] @ images[:filled].T
        values, vectors = np.linalg.eigh((small + small.T) / 2)
        value, mix = float(values[0]), vectors[:, 0]
        vector = mix @ basis[:filled]
        image = mix @ images[:filled]
        residual = image - value * vector
        norm = float(np.linalg.norm(residual))
        if norm < tolerance:
            return value, vector / np.linalg.norm(vector)
        gap = value - diagonal
        gap[np.abs(gap) < 1e-4] = 1e-4
        new = residual / gap
        if filled == len(basis):
            basis[0], images[0], filled = vector, image, 1
        for _twice in range(2):  # once is not orthogonal enough
            new -= (basis[:filled] @ new) @ basis[:filled]
            length = float(np.linalg.norm(new))
            if length < 1e-14:
                break
            new /= length
        if length < 1e-14:  # the whole space is spanned, or nearly: rounding is all that is left
            if norm < 100 * tolerance:
                return value, vector / np.linalg.norm(vector)
            break
        basis[filled], images[filled] = new, apply(new)
        filled += 1
    raise NotConverged(f"the eigenvector's residual is {norm:.1e} after {max_iterations} iterations")
