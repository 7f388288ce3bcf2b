"""Basis sets by name: the functions of an element, the reason why a name is unusable, and similar names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from spotwave.node.jobs.shci.basis_sets.core_potentials import (
    holds_all_electrons,
    needs_potential,
    potential_of,
)
from spotwave.node.jobs.shci.basis_sets.pyscf_library import KNOWN, Ecp, Shells, files_of, functions, plain

_FITTING = "is a fitting set, not an orbital basis"
_NO_ORBITAL_BASIS = (
    (re.compile(r".*fit|.*ri|weigend.*|demon|ahlrichs"), _FITTING),
    (re.compile(r"sapgrasp.*"), "is a set of atomic potentials for an initial guess, not an orbital basis"),
    (
        re.compile(r"ecpds.*so|ecpqvszp|bfd(pp)?|ccecp(he|reg|28|36)?"),
        "is only a core potential, not an orbital basis",
    ),
    (re.compile(r".*gth.*|.*molopt.*"), "is made for GTH pseudopotentials, which Spotwave does not use"),
)

# In their common spelling, the most common first; PySCF's own list has no hyphens.
USUAL = (
    "cc-pvdz",
    "def2-svp",
    "6-31g",
    "sto-3g",
    "aug-cc-pvdz",
    "3-21g",
    "6-31g*",
    "6-31g**",
    "6-31+g",
    "6-31+g*",
    "6-31++g**",
    "6-311g",
    "6-311g*",
    "6-311g**",
    "6-311+g*",
    "6-311++g**",
    "cc-pvtz",
    "cc-pvqz",
    "cc-pv5z",
    "aug-cc-pvtz",
    "aug-cc-pvqz",
    "cc-pcvdz",
    "cc-pcvtz",
    "cc-pwcvtz",
    "cc-pvdz-pp",
    "cc-pvtz-pp",
    "def2-svpd",
    "def2-tzvp",
    "def2-tzvpp",
    "def2-qzvp",
    "ano-rcc",
    "lanl2dz",
    "ccecp-cc-pvdz",
    "ccecp-cc-pvtz",
    "bfd-vdz",
    "bfd-vtz",
    "dzp",
)


class Unusable(ValueError):
    """Reason why a name cannot be used for an element. The message continues a sentence that starts with the name."""

    def __init__(self, reason: str, *, unknown: bool = False, no_functions: bool = False) -> None:
        self.unknown = unknown  #: no basis set has this name
        self.no_functions = no_functions  #: the set exists, but not for this element
        super().__init__(reason)


@dataclass(frozen=True)
class OnAtom:
    """Functions and core potential of an atom."""

    shells: Shells
    ecp: Ecp | None


def of_name(name: str, symbol: str) -> OnAtom:
    """Return functions and core potential of one of PySCF's basis sets. Raises Unusable."""
    key = plain(name)
    for pattern, reason in _NO_ORBITAL_BASIS:
        if pattern.fullmatch(key):
            raise Unusable(reason)
    if files_of(name, symbol) is None:
        raise Unusable("is unknown", unknown=True)
    shells = functions(name, symbol)
    if shells is None:
        raise Unusable(f"has no functions for {symbol}", no_functions=True)
    ecp = potential_of(name, symbol)
    if ecp is None and (needs_potential(name) or not holds_all_electrons(shells, symbol)):
        raise Unusable(f"is made for a core potential of {symbol} that PySCF does not have")
    return OnAtom(shells, ecp)


def works(name: str, elements: list[str]) -> bool:
    """Return whether the name can be used for all of the elements."""
    try:
        return all(of_name(name, symbol) for symbol in elements)
    except Unusable:
        return False


def meant(name: str, elements: list[str]) -> list[str]:
    """Return up to three similar names in their common spelling that work for the elements."""
    spelled = {KNOWN[plain(usual)]: usual for usual in reversed(USUAL)}
    # Names of the same set give one suggestion, in the common spelling.
    close = get_close_matches(plain(name), list(KNOWN), n=15, cutoff=0.6)
    found: dict[tuple[str, ...], str] = {}
    for key in close:
        if works(key, elements):
            found.setdefault(KNOWN[key], spelled.get(KNOWN[key], key))
    return list(found.values())[:3]


def examples(elements: list[str]) -> list[str]:
    """Return up to four common names that work for the elements."""
    return list(islice((usual for usual in USUAL if works(usual, elements)), 4))
