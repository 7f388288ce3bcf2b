"""Make an SCF reproducible: degenerate orbitals are mixed, ordered and filled by fixed rules.

If an open shell fills part of a level, the choice of the filled orbitals decides where the SCF ends. PySCF leaves it to
rounding, which differs with each threaded sum: quartet CN at 1.0 Angstrom ended in A1 or in A2, 0.04 Hartree apart, and
the atoms of manganese and copper in one of several solutions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pyscf import lib

from spotwave.node.jobs.shci.scf.orbitals import disentangled

_LEVEL = 1e-8  # Hartree: orbitals closer than this are degenerate
_BY_IRREP, _BY_PLACE = 1e-7, 1e-10  # Hartree: far above rounding and far below a significant difference


def without_ties(field: Any) -> Any:
    """Modify and return `field`: degenerate eigenvectors are chosen by rule, and filled by irrep, then index."""
    field._eigh = _by_rule(field._eigh)
    field.get_occ = _in_order(field, field.get_occ)
    return field


def _by_rule(solve: Callable[..., Any]) -> Callable[..., Any]:
    def solved(fock: Any, overlap: Any, *more: Any, **others: Any) -> Any:
        energy, coeff = solve(fock, overlap, *more, **others)
        levels = np.concatenate([[0], np.cumsum(np.diff(energy) > _LEVEL)]) if len(energy) else np.zeros(0, int)
        if len(coeff) == len(overlap):
            coeff = disentangled(np.array(coeff), levels, overlap)
        return energy, coeff

    return solved


def _in_order(field: Any, fill: Callable[..., Any]) -> Callable[..., Any]:
    def get_occ(mo_energy: Any = None, mo_coeff: Any = None) -> Any:
        if mo_energy is None or mo_coeff is None:
            return fill(mo_energy, mo_coeff)
        shift = _BY_PLACE * np.arange(len(mo_energy))
        if field.mol.symmetry:
            shift = shift + _BY_IRREP * np.asarray(field.get_orbsym(mo_coeff), dtype=float)
        kept = {name: getattr(mo_energy, name) + shift for name in ("mo_ea", "mo_eb") if hasattr(mo_energy, name)}
        return fill(lib.tag_array(mo_energy + shift, **kept), mo_coeff)

    return get_occ
