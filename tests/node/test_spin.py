"""<S^2> compared with PySCF's, for arbitrary vectors in all or some determinants."""

from __future__ import annotations

import numpy as np
import pytest
from pyscf.fci import cistring, spin_op

from spotwave.node.jobs.shci.programs.spin import s_squared

N = 5


@pytest.mark.parametrize(("n_alpha", "n_beta"), [(3, 3), (4, 2), (3, 2), (1, 0)])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("shift", [0, 62], ids=["one word", "two words"])
def test_s_squared_agrees_with_pyscf(n_alpha: int, n_beta: int, share: float, shift: int) -> None:
    random = np.random.default_rng(7)
    alpha, beta = (cistring.make_strings(range(N), electrons) for electrons in (n_alpha, n_beta))
    chosen = random.random((len(alpha), len(beta))) < share
    chosen[0, 0] = True
    vector = np.where(chosen, random.standard_normal(chosen.shape), 0.0)
    vector /= np.linalg.norm(vector)
    strings = [(int(alpha[i]) << shift, int(beta[j]) << shift) for i, j in zip(*np.nonzero(chosen), strict=True)]
    words = [
        [[string >> 64 * word & (1 << 64) - 1 for word in range(2 if shift else 1)] for string in two]
        for two in strings
    ]
    found = s_squared(np.array(words, dtype=np.uint64), vector[chosen], N + shift)
    assert found == pytest.approx(spin_op.spin_square0(vector, N, (n_alpha, n_beta))[0], abs=1e-12)
