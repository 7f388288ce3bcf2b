"""Which effective core potential (ECP) belongs to a basis set, and whether a set without one holds all electrons."""

from __future__ import annotations

import re
from math import ceil

from pyscf import gto
from pyscf.data.elements import CONFIGURATION

from spotwave.node.jobs.shci.basis_sets.pyscf_library import Ecp, Shells, core_potential, plain

# Where PySCF keeps the potential under another name than the set. ccECP: the file ccECP.dat in the folder of the set;
# BFD: bfd_pp.dat; cc-pwCVnZ-PP and aug-cc-pVnZ-PP: that of cc-pVnZ-PP, whose files all hold the same one; def2-mTZVP
# and -mTZVPP: that of all def2 sets; qavg-vSZPs: its companion ecp-q-vSZP, so called in its file.
_ELSEWHERE = (
    (re.compile(r"(ccecp(?:he|reg|28|36)?)(?:aug)?ccpv[dtq56]z"), r"\1"),
    (re.compile(r"bfdv[dtq5]z"), "bfdpp"),
    (re.compile(r"(?:aug)?ccp(?:wc)?v([dtq5])zpp"), r"ccpv\1zpp"),
    (re.compile(r"def2mtzvpp?"), "def2tzvp"),
    (re.compile(r"qavgvszps"), "ecpqvszp"),
)
# Of these every element has one, H and He (with no core electron) too where the set has them.
_ALWAYS = re.compile(r"ccecp.*|bfd.*|.*pp(nr)?|stuttgartrscmdf")
_BUT = re.compile(r"(ma)?def2.*|pob.*")  # end in "pp" for their polarization


def potential_of(name: str, symbol: str) -> Ecp | None:
    """The ECP that the basis set was made for with this element, None if PySCF has none."""
    key = plain(name)
    for pattern, where in _ELSEWHERE:
        if (match := pattern.fullmatch(key)) is not None:
            return core_potential(match.expand(where), symbol)
    return core_potential(key, symbol)


def needs_potential(name: str) -> bool:
    """Whether the name says that the set was made for an ECP, whatever the element."""
    key = plain(name)
    return _ALWAYS.fullmatch(key) is not None and _BUT.fullmatch(key) is None


def holds_all_electrons(shells: Shells, symbol: str) -> bool:
    """Whether a set can describe an atom down to its nucleus, as none can that was made for an ECP.

    It has a function for each occupied shell of the atom, and an s function steeper than Z^2 (2 Z^2 in STO-3G, mostly a
    hundredth of that in sets for ECPs; 1/Bohr^2). The latter not for H and He, which have no core to leave out.
    """
    charge = int(gto.charge(symbol))
    for angular, electrons in enumerate(CONFIGURATION[charge]):
        contracted = sum(len(shell[1]) - 1 for shell in shells if shell[0] == angular)
        if contracted < ceil(electrons / (4 * angular + 2)):
            return False
    steepest: float = max(row[0] for shell in shells if shell[0] == 0 for row in shell[1:])
    return charge <= 2 or steepest > charge**2
