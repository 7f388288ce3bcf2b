"""Stability analysis of a Hartree-Fock solution: lowest eigenvalue of the orbital Hessian, and its mode if negative.

R. Seeger, J. Pople, J. Chem. Phys. 66, 3045 (1977). PySCF gives the eigenvalue only in its log, and has no external
analysis of ROHF, so its matrix-vector products and its Davidson solver are used here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import gto, lib, scf
from pyscf.scf.hf import unpack_uniq_var
from pyscf.soscf import newton_ah

from spotwave.node.jobs.shci.reference import Stability
from spotwave.node.jobs.shci.scf.mean_field import mean_field

Array = NDArray[np.float64]

UNSTABLE = -1e-4
"""Hartree. Modes that only rotate degenerate orbitals of the molecule have zero; PySCF's Davidson is good to 1e-5."""
_TOLERANCE = 1e-5
_ROOTS = 3
_ONE_LEVEL = 1e-3  # Hartree: modes closer than this are degenerate
_SEED = 20261130


def is_minimum(stability: Stability) -> bool:
    """Return whether the solution is stable, so that no lower one of the same kind is near."""
    return stability.internal is None or stability.internal > UNSTABLE


def analyse(mol: gto.Mole, coeff: Array, occupation: Array, *, max_memory_gib: float) -> tuple[Stability, Array | None]:
    """Return the stability of a solution, and its orbitals (AO, MO) rotated along the lowest internal mode if negative.

    The rotation may break the molecule's symmetry. mol: without symmetry.
    """
    field = mean_field(mol, max_memory_gib)
    hessian = newton_ah.gen_g_hop_rhf if mol.spin == 0 else newton_ah.gen_g_hop_rohf
    internal, mode = _lowest(hessian(field, coeff, occupation, with_symmetry=False))
    unrestricted = scf.UHF(mol)
    unrestricted.verbose, unrestricted.max_memory = 0, field.max_memory
    spins = np.array([occupation > 0, occupation > 1], dtype=np.float64)
    external, _ = _lowest(newton_ah.gen_g_hop_uhf(unrestricted, np.array([coeff, coeff]), spins, with_symmetry=False))
    stability = Stability(internal=internal, external=external)
    if is_minimum(stability) or mode is None:
        return stability, None
    return stability, np.asarray(coeff @ newton_ah.expmat(unpack_uniq_var(mode, occupation)))


def _lowest(terms: tuple[Array, Callable[[Array], Array], Array]) -> tuple[float | None, Array | None]:
    """Return the lowest eigenpair, given PySCF's gradient, Hessian product and diagonal (the latter two halved)."""
    gradient, times, diagonal = terms
    size = len(gradient)
    if size == 0:
        return None, None
    diagonal = 2 * diagonal

    def precondition(vector: Array, value: float, *_: Any) -> Array:
        gap = diagonal - value
        gap[np.abs(gap) < 1e-8] = 1e-8
        return np.asarray(vector / gap)

    # Unit vectors have one symmetry each, and so would all later vectors: the last guess has none.
    guesses = [np.eye(1, size, int(place))[0] for place in np.argsort(diagonal, kind="stable")[:_ROOTS]]
    guesses.append(np.random.default_rng(_SEED).standard_normal(size) / np.sqrt(size))
    values, vectors = lib.davidson(
        lambda vector: 2 * times(vector).real,
        guesses[:size],
        precondition,
        tol=_TOLERANCE,
        nroots=min(_ROOTS, size),
        max_cycle=100,
        verbose=0,
    )
    if size == 1:
        return float(values), np.asarray(vectors)
    values, vectors = np.asarray(values), np.linalg.qr(np.asarray(vectors).T)[0]
    level = vectors[:, values < values[0] + _ONE_LEVEL]
    # For degenerate modes, rounding would choose another mixture and sign each time: this choice is fixed.
    mode = level @ (level.T @ np.cos(np.arange(size) ** 2))
    return float(values[0]), mode / np.linalg.norm(mode)
