"""Find the effective core potential (ECP) of a basis set, and check whether a set without one is all-electron."""

from __future__ import annotations

import re
from math import ceil

from pyscf import gto
from pyscf.data.elements import CONFIGURATION

from spotwave.node.jobs.shci.basis_sets.pyscf_library import Ecp, Shells, core_potential, plain

# Basis sets whose potential has another name in PySCF. ccECP: the file ccECP.dat in the set's folder; BFD: bfd_pp.dat;
# cc-pwCVnZ-PP and aug-cc-pVnZ-PP: that of cc-pVnZ-PP, identical in all their files; def2-mTZVP and -mTZVPP: that of all
# def2 sets; qavg-vSZPs: its companion ecp-q-vSZP, named so in its file.
_ELSEWHERE = (
    (re.compile(r"(ccecp(?:he|reg|28|36)?)(?:aug)?ccpv[dtq56]z"), r"\1"),
    (re.compile(r"bfdv[dtq5]z"), "bfdpp"),
    (re.compile(r"(?:aug)?ccp(?:wc)?v([dtq5])zpp"), r"ccpv\1zpp"),
    (re.compile(r"def2mtzvpp?"), "def2tzvp"),
    (re.compile(r"qavgvszps"), "ecpqvszp"),
)
# In these sets every element has a potential, including H and He (without core electrons) if the set has them.
_ALWAYS = re.compile(r"ccecp.*|bfd.*|.*pp(nr)?|stuttgartrscmdf")
_BUT = re.compile(r"(ma)?def2.*|pob.*")  # exceptions: here "pp" stands for polarization


def potential_of(name: str, symbol: str) -> Ecp | None:
    """Return the ECP that the basis set was made for with this element; None if PySCF has none."""
    key = plain(name)
    for pattern, where in _ELSEWHERE:
        if (match := pattern.fullmatch(key)) is not None:
            return core_potential(match.expand(where), symbol)
    return core_potential(key, symbol)


def needs_potential(name: str) -> bool:
    """Return whether, judging by its name, the set was made for ECPs, whatever the element."""
    key = plain(name)
    return _ALWAYS.fullmatch(key) is not None and _BUT.fullmatch(key) is None


def holds_all_electrons(shells: Shells, symbol: str) -> bool:
    """Return whether a set can describe all electrons of an atom, which no set made for an ECP can.

    Such a set has a function for each occupied shell of the atom, and an s function steeper than Z^2 (2 Z^2 in STO-3G,
    mostly a hundredth of that in sets for ECPs; 1/Bohr^2). The latter is not required for H and He, which have no core.
    """
    charge = int(gto.charge(symbol))
    for angular, electrons in enumerate(CONFIGURATION[charge]):
        contracted = sum(len(shell[1]) - 1 for shell in shells if shell[0] == angular)
        if contracted < ceil(electrons / (4 * angular + 2)):
            return False
    steepest: float = max(row[0] for shell in shells if shell[0] == 0 for row in shell[1:])
    return charge <= 2 or steepest > charge**2
