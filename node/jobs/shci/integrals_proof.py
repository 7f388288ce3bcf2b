"""Are these the same integrals? Bit for bit by SHA-256, or up to the rounding of another processor.

The same orbitals transformed on another kind of CPU, or by another number of threads, give integrals that differ in
the last digits, hence another SHA-256 and the same physics. So a proof also holds a few numbers that see every
integral: random projections with fixed random vectors, and norms.
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
"""Relative to the norm of the integrals. Sums in another order move a projection by about n^2 x 1e-16 of the norm,
below 1e-11 for hundreds of orbitals; an atom moved by 1e-6 Bohr moves it by 1e-7 or more, another sign of an orbital
by about 1 unless symmetry makes the sign meaningless."""


@dataclass(frozen=True)
class IntegralsProof:
    """What identifies an FCIDUMP file; travels as JSON."""

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
        """Raises KeyError or TypeError for anything that `to_dict` did not write."""
        return cls(
            sha256=str(data["sha256"]),
            n_orbitals=int(data["n_orbitals"]),
            n_electrons=int(data["n_electrons"]),
            spin=int(data["spin"]),
            core_energy=float(data["core_energy"]),
            fingerprint=tuple(float(number) for number in data["fingerprint"]),
        )


class Fingerprint:
    """Collects x^T M y for fixed random x, y from blocks of rows of M, the two-electron integrals over orbital pairs.

    The random vectors are functions of the numbers of the pair's orbitals only, normally distributed.
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
        """`rows` (rows, pairs) are those from number `start` on."""
        left = self._left[:, start : start + len(rows)]
        self._sums += np.einsum("ps,sp->p", left, rows @ self._right)
        self._square += float(np.vdot(rows, rows))

    def numbers(self, one_electron: Array) -> tuple[float, ...]:
        """All numbers, given the one-electron integrals (orbitals, orbitals) too."""
        lower = one_electron[np.tril_indices(self._n)]
        numbers = [self._square**0.5, *self._sums, float(np.linalg.norm(lower)), *(self._single @ lower)]
        return tuple(float(number) for number in numbers)


def same_integrals(a: IntegralsProof, b: IntegralsProof) -> bool:
    """Whether two files hold the same Hamiltonian: equal bytes, or fingerprints equal to `TOLERANCE`.

    A spin, electron or orbital number that differs, a core energy off by 1e-9 of itself: not the same.
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
    scale = np.maximum(ours[:, :1], 1e-3)  # the norms, each for its own row
    return bool(np.all(np.abs(ours - theirs) <= TOLERANCE * scale))
