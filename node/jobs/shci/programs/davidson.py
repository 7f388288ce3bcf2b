"""Davidson solver for the lowest eigenpair of a large symmetric matrix; deterministic for equal input.

E. R. Davidson, J. Comput. Phys. 17, 87 (1975), with diagonal preconditioning and a thick restart: the lowest few Ritz
vectors are kept instead of one (K. Wu, H. Simon, SIAM J. Matrix Anal. Appl. 22, 602 (2000)). Without it, nearly
degenerate states, as of broken bonds, slow down the convergence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

KEPT = 4  # Ritz vectors kept at a restart
_SMALLEST_GAP = 1e-4  # Hartree, in the preconditioner
_STILL = 1e-11  # Hartree: the energy is constant if it has changed by less over the number of iterations below
_STILL_FOR = 20
_GOOD_ENOUGH = 1e-5  # accepted residual with a constant energy: the energy's error is its square over the gap


class NotConverged(RuntimeError):
    """The residual is still too large after the allowed iterations."""


def lowest_eigenpair(
    apply: Callable[[Vector], Vector],
    diagonal: Vector,
    start: Vector,
    *,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    subspace: int = 16,
) -> tuple[float, Vector]:
    """Return eigenvalue and normalised eigenvector with |H c - E c| < `tolerance`. start: first guess.

    The energy is then accurate to tolerance^2 / gap. If the gap is too small for that residual, a constant energy with
    a residual below 1e-5 is accepted. Raises NotConverged.
    """
    size = len(diagonal)
    if size == 1:
        return float(diagonal[0]), np.ones(1)
    space = _Subspace(apply, size, min(subspace, size))
    space.add(start)
    energies: list[float] = []
    for _ in range(max_iterations):
        value, vector, image = space.lowest()
        residual = image - value * vector
        norm = float(np.linalg.norm(residual))
        energies.append(value)
        if norm < tolerance or (norm < _GOOD_ENOUGH and _stands_still(energies)):
            return value, vector / np.linalg.norm(vector)
        gap = value - diagonal
        gap[np.abs(gap) < _SMALLEST_GAP] = _SMALLEST_GAP
        if not space.add(residual / gap):  # the space is spanned completely, apart from rounding
            if norm < 100 * tolerance:
                return value, vector / np.linalg.norm(vector)
            break
    raise NotConverged(
        f"the eigenvector's residual is {norm:.1e} after {len(energies)} iterations, at {value:.8f} Hartree without "
        "the core. The lowest states are too close in energy: raise eps1, or set spin to that of the state"
    )


def _stands_still(energies: list[float]) -> bool:
    return len(energies) > _STILL_FOR and energies[-_STILL_FOR] - energies[-1] < _STILL


class _Subspace:
    """Orthonormal vectors, their products with the matrix, and the projected matrix; restarted when full."""

    def __init__(self, apply: Callable[[Vector], Vector], size: int, most: int) -> None:
        self._apply = apply
        self._vectors = np.empty((most, size))
        self._images = np.empty((most, size))
        self._small = np.zeros((most, most))
        self._filled = 0

    def lowest(self) -> tuple[float, Vector, Vector]:
        """Return the lowest Ritz pair and its product with the matrix."""
        n = self._filled
        values, mixes = np.linalg.eigh(self._small[:n, :n])
        return float(values[0]), mixes[:, 0] @ self._vectors[:n], mixes[:, 0] @ self._images[:n]

    def add(self, new: Vector) -> bool:
        """Add a vector. Return False if it is linearly dependent."""
        if self._filled == len(self._vectors):
            self._restart()
        n = self._filled
        new = new / np.linalg.norm(new)
        for _twice in range(2):  # one orthogonalisation is not accurate enough
            new = new - (self._vectors[:n] @ new) @ self._vectors[:n]
            length = float(np.linalg.norm(new))
            if length < 1e-12:
                return False
            new = new / length
        self._vectors[n], self._images[n] = new, self._apply(new)
        self._small[n, : n + 1] = self._small[: n + 1, n] = self._vectors[: n + 1] @ self._images[n]
        self._filled = n + 1
        return True

    def _restart(self) -> None:
        n, kept = self._filled, max(1, min(KEPT, self._filled - 2))
        values, mixes = np.linalg.eigh(self._small[:n, :n])
        self._vectors[:kept] = mixes[:, :kept].T @ self._vectors[:n]
        self._images[:kept] = mixes[:, :kept].T @ self._images[:n]
        self._small[:kept, :kept] = np.diag(values[:kept])
        self._filled = kept
