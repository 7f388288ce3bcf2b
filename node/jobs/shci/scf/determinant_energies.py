"""Energies of many determinants over the same orbitals from a few integrals, to choose a first determinant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyscf import gto

from spotwave.node.jobs.shci.scf.mean_field import mean_field

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WindowIntegrals:
    """Integrals over the W orbitals of a window, in the field of the doubly occupied ones outside of it; Hartree."""

    one: Array  #: (W,): h_ii
    coulomb: Array  #: (W, W): (ii|jj)
    exchange: Array  #: (W, W): (ij|ij)

    def energies(self, alpha: Array, beta: Array) -> Array:
        """Return energies (determinants,) in Hartree, without their common part.

        alpha, beta: (determinants, W), 1 for an electron of that spin. E = sum_i n_i h_ii + 1/2 sum_ij
        [n_i n_j J_ij - (a_i a_j + b_i b_j) K_ij] (Szabo, Ostlund, Modern Quantum Chemistry, 2.179).
        """
        both = alpha + beta
        pairs = _pairs(both, self.coulomb) - _pairs(alpha, self.exchange) - _pairs(beta, self.exchange)
        return np.asarray(both @ self.one + pairs)


def window_integrals(
    mol: gto.Mole, coeff: Array, occupation: Array, window: NDArray[np.int64], *, max_memory_gib: float
) -> WindowIntegrals:
    """Compute the integrals. coeff: (AO, MO). occupation: (MO,), 2, 1 or 0; single ones must be in the window."""
    inner = np.setdiff1d(np.flatnonzero(occupation == 2), window)
    orbitals = coeff[:, window]
    densities = [2 * coeff[:, inner] @ coeff[:, inner].T, *(np.outer(one, one) for one in orbitals.T)]
    field = mean_field(mol, max_memory_gib)
    coulomb, exchange = field.get_jk(mol, np.array(densities))
    core = field.get_hcore() + coulomb[0] - exchange[0] / 2
    return WindowIntegrals(
        np.einsum("pi,pq,qi->i", orbitals, core, orbitals),
        *(np.einsum("pj,ipq,qj->ij", orbitals, each[1:], orbitals) for each in (coulomb, exchange)),
    )


def _pairs(occupied: Array, matrix: Array) -> Array:
    return np.asarray(np.einsum("xi,ij,xj->x", occupied, matrix, occupied, optimize=True) / 2)
