"""PySCF without `eval`, also where somebody imported it before us and our settings (node/__init__.py) came too late."""

from __future__ import annotations

from pyscf.gto import mole
from pyscf.gto.basis import parse_cp2k, parse_molpro, parse_nwchem, parse_nwchem_ecp

GUARDED = (mole, parse_cp2k, parse_molpro, parse_nwchem, parse_nwchem_ecp)  #: each has read the setting for itself


def evaluate_nothing() -> None:
    """From here on PySCF refuses what it cannot read as a number."""
    for module in GUARDED:
        module.DISABLE_EVAL = True
