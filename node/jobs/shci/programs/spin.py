"""<S^2> of a wave function over determinants, to check that it has the requested spin."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[Any]


def s_squared(determinants: NDArray[np.uint64], coefficients: NDArray[np.float64], n_orbitals: int) -> float:
    """Return S (S + 1) of a spin state, or the mean for a mixture.

    S^2 = S_z (S_z + 1) + S_- S_+, and S_- S_+ exchanges the spins of two singly occupied orbitals: with the sign of the
    singly occupied ones between them, if alpha and beta strings are ordered separately.

    determinants: (determinants, 2, words), the bits of the alpha and the beta string. coefficients: (determinants,),
    normalised.
    """
    alpha, beta = determinants[:, 0], determinants[:, 1]
    n_alpha, n_beta = (int(_ones(string[:1]).sum()) for string in (alpha, beta))
    s_z = (n_alpha - n_beta) / 2
    value = s_z * (s_z + 1) + float(coefficients**2 @ _ones(beta & ~alpha))
    places = _Places(alpha, beta)
    single = alpha ^ beta
    for p, q in combinations(range(n_orbitals), 2):
        flip = bits(determinants.shape[2], (p, q))
        rows = np.flatnonzero(_has(alpha & ~beta, p) & _has(beta & ~alpha, q))
        found, partners = places.of(alpha[rows] ^ flip, beta[rows] ^ flip)
        rows = rows[found]
        between = _ones(single[rows] & bits(determinants.shape[2], range(p + 1, q)))
        signs = 1 - 2 * (between & 1)
        value -= 2 * float((signs * coefficients[rows]) @ coefficients[partners])
    return value


class _Places:
    """Index from a determinant to its number."""

    def __init__(self, alpha: Strings, beta: Strings) -> None:
        self._alpha, in_alpha = np.unique(_comparable(alpha), return_inverse=True)
        self._beta, in_beta = np.unique(_comparable(beta), return_inverse=True)
        keys = in_alpha.astype(np.int64) * len(self._beta) + in_beta
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def of(self, alpha: Strings, beta: Strings) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which of these determinants exist, and the numbers of those that do."""
        has_alpha, in_alpha = _look_up(self._alpha, _comparable(alpha))
        has_beta, in_beta = _look_up(self._beta, _comparable(beta))
        there, place = _look_up(self._keys, in_alpha * len(self._beta) + in_beta)
        there &= has_alpha & has_beta
        return there, self._order[place[there]]


def _look_up(known: NDArray[Any], wanted: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return known[place] == wanted, place


def _comparable(strings: Strings) -> NDArray[Any]:
    """Return (strings, words) as one sortable column."""
    words = strings.shape[1]
    if words == 1:
        return strings[:, 0]
    return np.ascontiguousarray(strings).view([(f"w{n}", np.uint64) for n in range(words)])[:, 0]


def bits(words: int, orbitals: Iterable[int]) -> NDArray[np.uint64]:
    """Return (words,): a bit for each of these orbitals, from 0."""
    mask = [0] * words
    for orbital in orbitals:
        mask[orbital // 64] |= 1 << orbital % 64
    return np.array(mask, dtype=np.uint64)


def _has(strings: Strings, orbital: int) -> NDArray[np.bool_]:
    return np.asarray((strings[:, orbital // 64] >> np.uint64(orbital % 64)) & np.uint64(1), dtype=bool)


def _ones(strings: Strings) -> NDArray[np.int64]:
    """Return (strings,): the number of set bits in each."""
    return np.asarray(np.bitwise_count(strings).sum(axis=1), dtype=np.int64)
