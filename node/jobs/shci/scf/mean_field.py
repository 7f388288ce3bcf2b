"""PySCF's self-consistent fields with Spotwave's settings: symmetry, tight thresholds, second order if needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import gto, scf, symm
from pyscf.lib.exceptions import PointGroupSymmetryError

from spotwave.node.jobs.shci.scf.degenerate_orbitals import without_ties

Array = NDArray[np.float64]

_CONVERGENCE = 1e-11  # Hartree per cycle: the stored energy must be reproducible to 1e-9 from its orbitals
_GRADIENT = 1e-7
# The inner iterations of the second-order solver stop near 2e-7. The energy's error is quadratic in this gradient.
_SECOND_ORDER_GRADIENT = 1e-6
_SOFT_GRADIENT = 1e-4  # along a mode without curvature the gradient remains, although the energy no longer changes
_MIB_PER_GIB = 1024

# Abelian subgroups. In the infinite groups PySCF treats both components of a level alike, and a radical with one
# electron in two pi orbitals does not converge.
_SUBGROUPS = {"Dooh": "D2h", "Coov": "C2v", "SO3": "D2h"}


def mean_field(mol: gto.Mole, max_memory_gib: float) -> Any:
    """Return RHF without unpaired electrons, else ROHF; not yet run."""
    field = scf.RHF(mol) if mol.spin == 0 else scf.ROHF(mol)
    field.verbose = 0
    field.max_memory = max_memory_gib * _MIB_PER_GIB
    field.conv_tol = _CONVERGENCE
    field.conv_tol_grad = _GRADIENT
    return without_ties(field)


def second_order(
    field: Any,
    coeff: Array,
    occupation: Array,
    *,
    max_cycles: int,
    chkfile: Path | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> Any:
    """Run Newton iterations of `field` from the given orbitals, and return the solver with its results.

    Also counts as converged: a constant energy with a gradient below 1e-4 Hartree, as with a soft mode.
    """
    newton = field.newton()
    newton.verbose = 0
    newton.max_cycle = max_cycles
    newton.conv_tol_grad = _SECOND_ORDER_GRADIENT
    newton.chkfile = None if chkfile is None else str(chkfile)
    energies: list[float] = []

    def note(state: dict[str, Any]) -> None:
        energies.append(float(state["e_tot"]))
        if callback is not None:
            callback(state)

    newton.callback = note
    newton.kernel(coeff, occupation)
    if not newton.converged and len(energies) > 2 and max(energies[-3:]) - min(energies[-3:]) < _CONVERGENCE:
        gradient = newton.get_grad(newton.mo_coeff, newton.mo_occ)
        newton.converged = bool(np.linalg.norm(gradient) < _SOFT_GRADIENT)
    return newton


def method(mol: gto.Mole) -> str:
    """Return "RHF" or "ROHF"."""
    return "RHF" if mol.spin == 0 else "ROHF"


def with_symmetry(mol: gto.Mole) -> gto.Mole:
    """Return the molecule with its point group or the largest Abelian subgroup; unchanged if it has no symmetry.

    Then orbitals of different irreps are not mixed, and integrals forbidden by symmetry vanish.
    """
    symmetric = mol.copy()
    symmetric.symmetry = True
    try:
        symmetric.build(dump_input=False, parse_arg=False)
        if symmetric.groupname in _SUBGROUPS:
            symmetric.symmetry = _SUBGROUPS[symmetric.groupname]
            symmetric.build(dump_input=False, parse_arg=False)
    except PointGroupSymmetryError:  # a nearly symmetric geometry
        return mol
    return symmetric if symmetric.groupname != "C1" else mol


def irreps(symmetric: gto.Mole, coeff: Array) -> NDArray[np.int64] | None:
    """Return (MO,): the irrep of each orbital in PySCF's numbering, in which products are XOR.

    None if orbitals mix irreps, or the molecule (`with_symmetry`) has no symmetry.
    """
    if not symmetric.symmetry:
        return None
    try:
        found = symm.label_orb_symm(symmetric, symmetric.irrep_id, symmetric.symm_orb, coeff, tol=1e-6)
    except ValueError:
        return None
    return np.asarray(found, dtype=np.int64)


def irrep_name(symmetric: gto.Mole, labels: NDArray[np.int64] | None, occupation: Array) -> str | None:
    """Return the irrep of the determinant with this occupation, e.g. B1g; None if `irreps` found no labels."""
    if labels is None:
        return None
    product = int(np.bitwise_xor.reduce(labels[occupation == 1], initial=0))
    return str(symm.irrep_id2name(symmetric.groupname, product))
