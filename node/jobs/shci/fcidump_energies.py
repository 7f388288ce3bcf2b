"""Energies computed from an FCIDUMP file, to check orbitals, their order and the integrals before a program reads it.

They are computed from the written file, whatever program will read it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import polars as pl

HEADER_LINES = 4  # as written by node.jobs.shci.fcidump
_COLUMNS = {"value": pl.Float64, "i": pl.Int32, "j": pl.Int32, "k": pl.Int32, "l": pl.Int32}


def determinant_energy(fcidump: Path, alpha: Collection[int], beta: Collection[int]) -> float:
    """Return the energy in Hartree of a determinant, including the core energy.

    alpha, beta: orbitals (from 0) occupied by an electron of that spin.
    E = E_core + sum_i n_i h_ii + 1/2 sum_ij [n_i n_j (ii|jj) - (a_i a_j + b_i b_j) (ij|ij)], with a and b the
    occupations of each spin and n = a + b (Szabo, Ostlund, Modern Quantum Chemistry, 2.179). The file is read in
    pieces. Integrals missing in the file are zero.
    """
    i, j, k, m, value = (pl.col(name) for name in ("i", "j", "k", "l", "value"))

    def occupied(orbital: pl.Expr, orbitals: Collection[int]) -> pl.Expr:
        return orbital.is_in([one + 1 for one in orbitals]).cast(pl.Int32)

    a_i, a_j, a_k = (occupied(orbital, alpha) for orbital in (i, j, k))
    b_i, b_j, b_k = (occupied(orbital, beta) for orbital in (i, j, k))
    core = pl.when((i == 0) & (j == 0)).then(value)
    one = pl.when((i == j) & (i > 0) & (k == 0)).then(value * (a_i + b_i))
    # A pair of different orbitals occurs once in the file and twice in the sum.
    coulomb = pl.when((i == j) & (k == m) & (k > 0)).then(
        value * (a_i + b_i) * (a_k + b_k) / pl.when(i == k).then(2.0).otherwise(1.0)
    )
    exchange = pl.when((i == k) & (j == m) & (k > 0)).then(
        -value * (a_i * a_j + b_i * b_j) / pl.when(i == j).then(2.0).otherwise(1.0)
    )
    parts = (
        _lines(fcidump)
        .filter(i <= max((one + 1 for one in (*alpha, *beta)), default=1))
        .select(pl.sum_horizontal(part.sum() for part in (core, one, coulomb, exchange)))
    )
    return float(parts.collect(engine="streaming").item())


def lower_bound(fcidump: Path, n_orbitals: int, n_alpha: int, n_beta: int) -> float:
    """Return a lower bound in Hartree of the energy of any state with these electrons.

    Since the electrons repel each other, E >= E_core + the lowest eigenvalues of the one-electron part, one for each
    electron.
    """
    rows = _lines(fcidump).filter(pl.col("k") == 0).collect(engine="streaming")
    matrix, core = np.zeros((n_orbitals, n_orbitals)), 0.0
    for value, i, j, _, _ in rows.iter_rows():
        if i == 0:
            core = value
        else:
            matrix[i - 1, j - 1] = matrix[j - 1, i - 1] = value
    levels = np.linalg.eigvalsh(matrix)
    return float(core + levels[:n_alpha].sum() + levels[:n_beta].sum())


def _lines(fcidump: Path) -> pl.LazyFrame:
    return pl.scan_csv(fcidump, has_header=False, skip_rows=HEADER_LINES, separator=" ", schema=_COLUMNS)
