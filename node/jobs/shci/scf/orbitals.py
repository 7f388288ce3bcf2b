"""Make the orbitals for the integrals unique, so that the same input always gives the same orbitals.

A converged SCF does not fix the order of orbitals, their signs, and the mixing of degenerate ones. A selected CI
depends on all but the signs, and the integrals on all of them. So there is a rule for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DEGENERATE = 1e-5
"""Hartree. Rounded coordinates split a level by about 1e-6, and rounding of sums mixes such close orbitals: by 1e-14
over the gap. Orbitals of different levels are rarely closer; if they are, mixing them by the rule does no harm."""
_LARGE = 0.37  # fraction of the largest coefficient; symmetry gives equal coefficients or halves, but not this ratio


@dataclass(frozen=True)
class Orbitals:
    """Orbitals in order: doubly occupied, singly occupied, empty; each of these by energy."""

    coeff: Array  #: (AO, MO)
    energy: Array  #: (MO,), Hartree
    occupation: Array  #: (MO,): 2, 1 or 0


def in_order(coeff: Array, energy: Array, occupation: Array, irreps: NDArray[np.int64], overlap: Array) -> Orbitals:
    """Return orbitals that span the same space, chosen by rule.

    Order: by occupation (2, 1, 0), then energy; degenerate ones by irrep. An ROHF puts singly occupied orbitals after
    empty ones, and every program takes the first n for its reference. Orbitals of equal occupation, energy and irrep
    are mixed so that they diagonalise a fixed operator without symmetry. Signs: the first large coefficient is
    positive.

    irreps: (MO,), any numbering of the irreps that the SCF has kept apart; equal numbers if it has none.
    overlap: (AO, AO).
    """
    order = np.lexsort((energy, -occupation))
    levels = _levels(energy[order], occupation[order])
    order = order[np.lexsort((irreps[order], levels))]
    coeff, energy, occupation, irreps = coeff[:, order], energy[order], occupation[order], irreps[order]
    groups = np.unique(np.stack([levels, irreps]), axis=1, return_inverse=True)[1].ravel()
    coeff = disentangled(np.array(coeff), groups, overlap)
    return Orbitals(_signed(coeff), energy, occupation)


def by_irrep(coeff: Array, energy: Array, occupation: Array, symmetry_orbitals: list[Array], overlap: Array) -> Array:
    """Return the orbitals with degenerate ones mixed such that each belongs to one irrep, if possible.

    An SCF without symmetry mixes the components of a level. symmetry_orbitals: a basis of each irrep, (AO, functions).
    """
    order = np.lexsort((energy, -occupation))
    levels = _levels(energy[order], occupation[order])
    weighted = np.zeros_like(overlap)  # sum of the projectors on the irreps, each multiplied by its number
    for number, functions in enumerate(symmetry_orbitals, start=1):
        metric = functions.T @ overlap @ functions
        weighted += number * (functions @ np.linalg.solve(metric, functions.T))
    weighted = overlap @ weighted @ overlap
    mixed = np.array(coeff)
    for level in np.unique(levels):
        members = order[levels == level]
        if len(members) > 1:
            _, mix = np.linalg.eigh(coeff[:, members].T @ weighted @ coeff[:, members])
            mixed[:, members] = coeff[:, members] @ mix
    return mixed


def _levels(energy: Array, occupation: Array) -> NDArray[np.int64]:
    """Return (MO,): the number of each orbital's level; a level is a group with equal occupation and energy."""
    new = (np.diff(energy) > DEGENERATE) | (np.diff(occupation) != 0)
    return np.concatenate([[0], np.cumsum(new)])


def disentangled(coeff: Array, groups: NDArray[np.int64], overlap: Array) -> Array:
    """Modify and return `coeff` (functions, MO): orbitals of one group are mixed to diagonalise a fixed operator.

    The operator has no symmetry. groups: (MO,). overlap: of the functions.
    """
    several = [group for group, count in zip(*np.unique(groups, return_counts=True), strict=True) if count > 1]
    if not several:
        return coeff
    values, vectors = np.linalg.eigh(overlap)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # Irrational, so that no symmetry of the molecule gives two functions the same weight.
    weights = np.sqrt(np.arange(len(coeff)) + 2.0) % 1.0
    for group in several:
        members = np.flatnonzero(groups == group)
        orthogonal = root @ coeff[:, members]
        _, mix = np.linalg.eigh((orthogonal.T * weights) @ orthogonal)
        coeff[:, members] = coeff[:, members] @ mix
    return coeff


def _signed(coeff: Array) -> Array:
    magnitude = np.abs(coeff)
    first = np.argmax(magnitude > _LARGE * magnitude.max(axis=0), axis=0)
    signs = np.where(coeff[first, np.arange(coeff.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(coeff * signs)
