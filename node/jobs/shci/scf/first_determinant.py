"""Find a determinant below Hartree-Fock's, over the same orbitals, as the start of a selected CI.

RHF and ROHF put every open shell into one spin. Two distant atoms may each have an open shell, with opposite spins:
carbon and nitrogen at 4 Angstrom are 0.2 Hartree below the ROHF determinant of the doublet, and no integral above a
usual eps1 connects the two. Dice has such a search too (its `searchForLowestEnergyDet`).
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray
from pyscf import gto

from spotwave.node.jobs.shci.scf.determinant_energies import Array, window_integrals
from spotwave.node.jobs.shci.scf.occupations import frontier, lowest

LOWER = 1e-3
"""Hartree: what another determinant must gain over Hartree-Fock's, and again in the pilot. Otherwise the closed shells
are kept, which conserve the spin."""
_MOST_STEPS = 20

Orbitals = tuple[int, ...]


def lowest_by_exchanges(
    mol: gto.Mole, coeff: Array, occupation: Array, *, max_memory_gib: float
) -> tuple[Orbitals, Orbitals] | None:
    """Search downhill by steps of one or two electrons near the frontier for a determinant below the given one.

    Return its orbitals (from 0, as in `coeff`) with an alpha and with a beta electron; None if it gains less than 1
    mHartree. coeff: (AO, MO), in order (node.jobs.shci.scf.orbitals). occupation: (MO,), 2, 1 or 0.
    """
    window = frontier(occupation)
    integrals = window_integrals(mol, coeff, occupation, window, max_memory_gib=max_memory_gib)
    alpha, beta = occupation[window] > 0, occupation[window] > 1
    begun = now = float(integrals.energies(alpha[None].astype(float), beta[None].astype(float))[0])
    for _ in range(_MOST_STEPS):
        near = _near(alpha, beta)
        energies = integrals.energies(near[0].astype(float), near[1].astype(float))
        best = lowest(energies)
        if energies[best] > now - LOWER:
            break
        now, alpha, beta = float(energies[best]), near[0][best], near[1][best]
    if now > begun - LOWER:
        return None
    inner = np.setdiff1d(np.flatnonzero(occupation == 2), window)
    return _orbitals(inner, window[alpha]), _orbitals(inner, window[beta])


def _near(alpha: NDArray[np.bool_], beta: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (determinants, W) of each spin: all that differ by one or two electrons with unchanged spins."""
    by_spin = [[_moved(one, count) for count in range(3)] for one in (alpha, beta)]
    pairs = [
        (left, right)
        for left_count, right_count in ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
        for left, right in product(by_spin[0][left_count], by_spin[1][right_count])
    ]
    return np.array([left for left, _ in pairs]), np.array([right for _, right in pairs])


def _moved(occupied: NDArray[np.bool_], count: int) -> list[NDArray[np.bool_]]:
    """Return all strings with `count` of the electrons in other orbitals."""
    found = []
    for holes in combinations(np.flatnonzero(occupied), count):
        for particles in combinations(np.flatnonzero(~occupied), count):
            one = occupied.copy()
            one[list(holes)] = False
            one[list(particles)] = True
            found.append(one)
    return found


def _orbitals(inner: NDArray[np.int64], outer: NDArray[np.int64]) -> Orbitals:
    return tuple(int(orbital) for orbital in np.sort(np.concatenate([inner, outer])))
