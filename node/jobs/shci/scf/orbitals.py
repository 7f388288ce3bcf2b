"""The orbitals that integrals are written over: the same ones whenever the same input is given.

A converged SCF leaves free how orbitals are ordered, which sign they have, and how those of one energy are mixed. A
selected CI depends on all but the sign, and the integrals on all of them. So there is a rule for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DEGENERATE = 1e-5
"""Hartree. Rounded coordinates split a level by some 1e-6, and rounding of sums mixes what lies so close: by 1e-14 over
the gap. Orbitals of other levels hardly ever come nearer; if they do, they are as good mixed by the rule."""
_LARGE = 0.37  # of the largest coefficient; symmetry makes coefficients equal, or halves, and not this


@dataclass(frozen=True)
class Orbitals:
    """Orbitals in order: doubly occupied, singly occupied, empty; each of these by energy."""

    coeff: Array  #: (AO, MO)
    energy: Array  #: (MO,), Hartree
    occupation: Array  #: (MO,): 2, 1 or 0


def in_order(coeff: Array, energy: Array, occupation: Array, irreps: NDArray[np.int64], overlap: Array) -> Orbitals:
    """The same space, orbitals chosen by rule.

    Order: by occupation (2, 1, 0), then energy; those of one energy by irrep. An ROHF leaves singly occupied orbitals
    behind empty ones, and every program takes the first n for its reference. Orbitals of one occupation, energy and
    irrep are mixed so that they diagonalise a fixed operator that has no symmetry. Signs: the first coefficient that is
    large is positive.

    irreps: (MO,), any numbering of those that the SCF has kept apart; equal numbers where it has none.
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
    """The same orbitals, those of one occupation and energy mixed so that each is of one irrep, where that is possible.

    An SCF without symmetry mixes the components of a level. symmetry_orbitals: a basis of each irrep, (AO, functions).
    """
    order = np.lexsort((energy, -occupation))
    levels = _levels(energy[order], occupation[order])
    weighted = np.zeros_like(overlap)  # in orthogonal functions: a projector on each irrep, times its number
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
    """(MO,): the number of each orbital's level; levels are groups of one occupation and energy."""
    new = (np.diff(energy) > DEGENERATE) | (np.diff(occupation) != 0)
    return np.concatenate([[0], np.cumsum(new)])


def disentangled(coeff: Array, groups: NDArray[np.int64], overlap: Array) -> Array:
    """`coeff` (functions, MO), changed: the orbitals of one group (MO,) mixed so that they diagonalise a fixed operator
    without symmetry. overlap: of the functions."""
    several = [group for group, count in zip(*np.unique(groups, return_counts=True), strict=True) if count > 1]
    if not several:
        return coeff
    values, vectors = np.linalg.eigh(overlap)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # Irrational, so that no symmetry of the molecule makes two functions count alike.
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
