"""Other determinants over the same orbitals: the lowest of each irrep, which may lie below the one that an SCF found.

An SCF keeps the occupation that it began with, and a selected CI never leaves the irrep of its first determinant.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pyscf import gto

from spotwave.node.jobs.shci.scf.determinant_energies import window_integrals

Array = NDArray[np.float64]

EQUAL = 1e-5
"""Hartree: determinants that differ by less are of one level, and the first is taken, so that rounding does not choose.
Their energies are as good as the orbitals, some 1e-7."""
_NEAREST = 10  # doubly occupied orbitals below the frontier, and empty ones above it, that change their occupation


@dataclass(frozen=True)
class Determinant:
    """Occupied like RHF or ROHF, over given orbitals."""

    occupation: Array  #: (MO,): 2, 1 or 0
    irrep: int  #: PySCF's number; 0 for all where there are no labels
    excitation: float  #: Hartree, above the determinant that was given; negative below


def lowest_determinants(
    mol: gto.Mole,
    coeff: Array,
    occupation: Array,
    labels: NDArray[np.int64] | None,
    *,
    max_memory_gib: float,
) -> list[Determinant]:
    """The lowest of each irrep, lowest first, of all that differ by one or two exchanges of occupation near the
    frontier from the given one. That one is among them if it is the lowest of its irrep.

    coeff: (AO, MO). labels: (MO,), irreps.
    """
    window = frontier(occupation)
    start = occupation[window]
    candidates = _exchanged(start)
    integrals = window_integrals(mol, coeff, occupation, window, max_memory_gib=max_memory_gib)
    energies = integrals.energies((candidates > 0).astype(float), (candidates > 1).astype(float))
    energies -= energies[np.flatnonzero((candidates == start).all(axis=1))[0]]
    products = _products(np.zeros(len(occupation), np.int64) if labels is None else labels, window, candidates)
    found = []
    for irrep in np.unique(products):
        members = np.flatnonzero(products == irrep)
        best = members[lowest(energies[members])]
        whole = occupation.copy()
        whole[window] = candidates[best]
        found.append(Determinant(whole, int(irrep), float(energies[best])))
    found.sort(key=lambda one: one.irrep)
    in_order = []
    while found:
        in_order.append(found.pop(lowest(np.array([one.excitation for one in found]))))
    return in_order


def lowest(energies: Array) -> int:
    """The first of those that are as low as any."""
    return int(np.flatnonzero(energies < energies.min() + EQUAL)[0])


def frontier(occupation: Array) -> NDArray[np.int64]:
    """The orbitals next to the frontier: highest doubly occupied, all singly occupied, lowest empty. occupation: (MO,),
    of orbitals in order (node.jobs.shci.scf.orbitals), in which those of a level have a place by rule."""
    full, single, empty = (np.flatnonzero(occupation == electrons) for electrons in (2, 1, 0))
    return np.concatenate([full[::-1][:_NEAREST], single, empty[:_NEAREST]])


def _exchanged(start: Array) -> Array:
    """(determinants, window): `start`, and all with one or two exchanges of occupation between two orbitals."""
    size = len(start)
    pairs = [(i, j) for i in range(size) for j in range(size) if start[i] > start[j]]
    found = {tuple(start)}
    for chosen in [*((pair,) for pair in pairs), *combinations(pairs, 2)]:
        if len({place for pair in chosen for place in pair}) < 2 * len(chosen):
            continue
        changed = start.copy()
        for i, j in chosen:
            changed[i], changed[j] = changed[j], changed[i]
        found.add(tuple(changed))
    return np.array(sorted(found))


def _products(labels: NDArray[np.int64], window: NDArray[np.int64], candidates: Array) -> NDArray[np.int64]:
    """(determinants,): the irrep of each, the product over its singly occupied orbitals."""
    chosen = np.where(candidates == 1, labels[window], 0)
    return np.asarray(np.bitwise_xor.reduce(chosen, axis=1), dtype=np.int64)
