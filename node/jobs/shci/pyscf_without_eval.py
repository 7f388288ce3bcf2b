"""Disable `eval` in PySCF, even if it was imported before the settings of node/__init__.py took effect."""

from __future__ import annotations

from pyscf.gto import mole
from pyscf.gto.basis import parse_cp2k, parse_molpro, parse_nwchem, parse_nwchem_ecp

GUARDED = (mole, parse_cp2k, parse_molpro, parse_nwchem, parse_nwchem_ecp)  #: each holds a copy of the setting


def evaluate_nothing() -> None:
    """Make PySCF refuse text that it cannot read as a number."""
    for module in GUARDED:
        module.DISABLE_EVAL = True
