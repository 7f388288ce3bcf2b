"""Check whether two sets of integrals are equal, bit for bit by SHA-256 or up to the rounding of another processor.

The same orbitals transformed on another kind of CPU, or by another number of threads, give integrals that differ in the
last digits: another SHA-256, but the same physics. So a proof also holds a few numbers that depend on every integral:
norms, and random projections with fixed random vectors.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SEED = 20261120
_PROJECTIONS = 6

TOLERANCE = 1e-9
"""Relative to the norm of the integrals. Summation in another order changes a projection by about n^2 x 1e-16 of the
norm, below 1e-11 for hundreds of orbitals. An atom moved by 1e-6 Bohr changes it by 1e-7 or more, and another sign of
an orbital by about 1 unless symmetry makes the sign meaningless."""


@dataclass(frozen=True)
class IntegralsProof:
    """Identifies an FCIDUMP file; stored as JSON."""

    sha256: str  #: of the file
    n_orbitals: int
    n_electrons: int
    spin: int
    core_energy: float  #: Hartree, nuclear repulsion and frozen core
    fingerprint: tuple[float, ...]  #: two-electron norm, projections; one-electron norm, projections

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Raises KeyError or TypeError for anything not written by `to_dict`."""
        return cls(
            sha256=str(data["sha256"]),
            n_orbitals=int(data["n_orbitals"]),
            n_electrons=int(data["n_electrons"]),
            spin=int(data["spin"]),
            core_energy=float(data["core_energy"]),
            fingerprint=tuple(float(number) for number in data["fingerprint"]),
        )


class Fingerprint:
    """Computes x^T M y for fixed random x, y from blocks of rows of M, the two-electron integrals over orbital pairs.

    The random vectors are normally distributed and depend only on the number of orbitals.
    """

    def __init__(self, n_orbitals: int) -> None:
        self._n = n_orbitals
        n_pairs = n_orbitals * (n_orbitals + 1) // 2
        random = np.random.Generator(np.random.PCG64(_SEED))
        self._left = random.standard_normal((_PROJECTIONS, n_pairs))
        self._right = random.standard_normal((n_pairs, _PROJECTIONS))
        self._single = random.standard_normal((_PROJECTIONS, n_pairs))
        self._sums = np.zeros(_PROJECTIONS)
        self._square = 0.0

    def add(self, start: int, rows: Array) -> None:
        """Add `rows` (rows, pairs), of which the first has the number `start`."""
        left = self._left[:, start : start + len(rows)]
        self._sums += np.einsum("ps,sp->p", left, rows @ self._right)
        self._square += float(np.vdot(rows, rows))

    def numbers(self, one_electron: Array) -> tuple[float, ...]:
        """Return all numbers, given the one-electron integrals (orbitals, orbitals) as well."""
        lower = one_electron[np.tril_indices(self._n)]
        numbers = [self._square**0.5, *self._sums, float(np.linalg.norm(lower)), *(self._single @ lower)]
        return tuple(float(number) for number in numbers)


def same_integrals(a: IntegralsProof, b: IntegralsProof) -> bool:
    """Return whether two files hold the same Hamiltonian: equal bytes, or fingerprints equal to `TOLERANCE`.

    Numbers of orbitals, electrons and spin must be equal, and the core energies to a relative 1e-9.
    """
    if (a.n_orbitals, a.n_electrons, a.spin) != (b.n_orbitals, b.n_electrons, b.spin):
        return False
    if a.sha256 == b.sha256:
        return True
    if len(a.fingerprint) != 2 * (_PROJECTIONS + 1) or len(b.fingerprint) != len(a.fingerprint):
        return False
    if not abs(a.core_energy - b.core_energy) <= TOLERANCE * max(1.0, abs(a.core_energy)):
        return False
    ours = np.reshape(a.fingerprint, (2, -1))
    theirs = np.reshape(b.fingerprint, (2, -1))
    scale = np.maximum(ours[:, :1], 1e-3)  # the norms, one per row
    return bool(np.all(np.abs(ours - theirs) <= TOLERANCE * scale))
