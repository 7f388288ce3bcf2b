"""Find the lowest determinant of each irrep over the same orbitals, which may be below the one that an SCF found.

An SCF keeps its initial occupation, and a selected CI never leaves the irrep of its first determinant.
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
"""Hartree: determinants that differ by less count as degenerate, and the first is taken, so that rounding does not
decide. Their energies are as accurate as the orbitals, about 1e-7."""
_NEAREST = 10  # number of doubly occupied orbitals below, and of empty ones above the frontier, that may change


@dataclass(frozen=True)
class Determinant:
    """A determinant occupied as in RHF or ROHF, over given orbitals."""

    occupation: Array  #: (MO,): 2, 1 or 0
    irrep: int  #: PySCF's number; 0 for all if there are no labels
    excitation: float  #: Hartree, relative to the given determinant; negative if below


def lowest_determinants(
    mol: gto.Mole,
    coeff: Array,
    occupation: Array,
    labels: NDArray[np.int64] | None,
    *,
    max_memory_gib: float,
) -> list[Determinant]:
    """Return the lowest determinant of each irrep, lowest first.

    Considered are all that differ from the given one by at most two exchanges of occupation near the frontier, and the
    given one itself. coeff: (AO, MO). labels: (MO,), irreps.
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
    """Return the index of the first of the lowest, degenerate energies."""
    return int(np.flatnonzero(energies < energies.min() + EQUAL)[0])


def frontier(occupation: Array) -> NDArray[np.int64]:
    """Return the orbitals near the frontier: highest doubly occupied, all singly occupied, lowest empty.

    occupation: (MO,), of ordered orbitals (node.jobs.shci.scf.orbitals), in which degenerate ones have a fixed order.
    """
    full, single, empty = (np.flatnonzero(occupation == electrons) for electrons in (2, 1, 0))
    return np.concatenate([full[::-1][:_NEAREST], single, empty[:_NEAREST]])


def _exchanged(start: Array) -> Array:
    """Return (determinants, window): `start`, and all with one or two exchanges of occupation between two orbitals."""
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
    """Return (determinants,): the irrep of each, the product over its singly occupied orbitals."""
    chosen = np.where(candidates == 1, labels[window], 0)
    return np.asarray(np.bitwise_xor.reduce(chosen, axis=1), dtype=np.int64)
