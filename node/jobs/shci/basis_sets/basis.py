"""Resolve the basis set of a molecule: a name, one per element, or a file's text, with effective core potentials."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256

from pyscf.data.elements import ELEMENTS

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets import nwchem_text
from spotwave.node.jobs.shci.basis_sets.core_potentials import holds_all_electrons
from spotwave.node.jobs.shci.basis_sets.names import OnAtom, Unusable, examples, meant, of_name
from spotwave.node.jobs.shci.basis_sets.pyscf_library import Ecp, Shells

Basis = str | dict[str, str]  #: a name or a file's text; or one per element, with "default" for all other elements

DEFAULT = "default"
_LONGEST_NAME = 80
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._,+*()-]*")
_SYMBOLS = set(ELEMENTS[1:])
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Resolved:
    """Basis functions and core potentials by element, in PySCF's format."""

    shells: dict[str, Shells]
    ecps: dict[str, Ecp]


def resolve(basis: Basis, elements: list[str], *, cartesian: bool = False) -> Resolved:
    """Return the functions of each element, and its core potential if the basis set is made for one.

    Raises InputError for an unusable basis set, with a remedy that works for these elements.
    """
    wanted = sorted(set(elements))
    atoms: dict[str, OnAtom] = {}
    for value, symbols in _values(basis, wanted):
        atoms |= _from_text(value, symbols, cartesian) if nwchem_text.is_text(value) else _from_name(value, symbols)
    return Resolved(
        {symbol: deepcopy(atom.shells) for symbol, atom in atoms.items()},  # a copy, since file contents are cached
        {symbol: deepcopy(atom.ecp) for symbol, atom in atoms.items() if atom.ecp is not None},
    )


def label_of(basis: Basis) -> str:
    """Return a short label of the basis set. The text of a file is identified by the start of its SHA-256."""
    if isinstance(basis, dict):
        return ", ".join(f"{symbol}: {label_of(value)}" for symbol, value in list(basis.items())[:5])
    if nwchem_text.is_text(basis):
        return f"own basis set {sha256(basis.encode(errors='replace')).hexdigest()[:8]}"
    return basis if len(basis) <= _SHOWN else f"{basis[: _SHOWN - 3]}..."


def _values(basis: Basis, wanted: list[str]) -> list[tuple[str, list[str]]]:
    """Return each value with the elements that it applies to."""
    if isinstance(basis, str):
        return [(basis, wanted)]
    for key in basis:
        if key != DEFAULT and key not in wanted:
            problem = f"the molecule has no {key}" if key in _SYMBOLS else f"{key[:20]!r} is not an element"
            raise InputError(
                "basis", problem, f"Give basis sets for {', '.join(wanted)}, and 'default' for the other elements"
            )
    without = [symbol for symbol in wanted if symbol not in basis]
    if without and DEFAULT not in basis:
        raise InputError("basis", f"has no entry for {', '.join(without)}", "Add one, or 'default' for all others")
    own = [(basis[symbol], [symbol]) for symbol in wanted if symbol in basis]
    # A default that no element needs is checked as well, to find typing errors.
    return [*own, (basis[DEFAULT], without)] if DEFAULT in basis else own


def _from_name(value: str, symbols: list[str]) -> dict[str, OnAtom]:
    name = value.strip()
    if len(value) > _LONGEST_NAME:
        raise InputError("basis", f"has {len(value)} characters in one line", "Give a basis set's name, e.g. cc-pvdz")
    if not _NAME.fullmatch(name):
        raise InputError(
            "basis", f"{label_of(value)!r} is not a basis set name", "Give a name that PySCF knows, e.g. cc-pvdz, or"
            " the text of a file",
        )  # fmt: skip
    atoms, missing, tried = {}, [], symbols or ["H"]
    for symbol in tried:
        try:
            atoms[symbol] = of_name(name, symbol)
        except Unusable as error:
            if not error.no_functions:
                raise InputError("basis", f"{value!r} {error}", _remedy(name, tried, error)) from None
            missing.append(symbol)
    if missing and symbols:
        raise InputError("basis", f"{value!r} has no functions for {', '.join(missing)}", _another(symbols, missing))
    return atoms if symbols else {}


def _remedy(name: str, symbols: list[str], error: Unusable) -> str:
    close = meant(name, symbols) if error.unknown else []
    return f"Did you mean {', '.join(close)}?" if close else _another(symbols, [])


def _another(symbols: list[str], missing: list[str]) -> str:
    usual = examples(symbols)
    if not usual:
        return "Give the text of a basis set for it, by element"
    return f"Use a basis set with {'it' if len(missing) == 1 else 'them'}, e.g. {usual[0]}" if missing else (
        f"Use e.g. {', '.join(usual)}"
    )  # fmt: skip


def _from_text(text: str, symbols: list[str], cartesian: bool) -> dict[str, OnAtom]:
    found = nwchem_text.read(text)
    missing = [symbol for symbol in symbols if symbol not in found.shells]
    if missing:
        raise InputError(
            "basis",
            f"its text has no functions for {', '.join(missing)}",
            "Add them, or use another set for them",
        )
    highest = max(shell[0] for symbol in symbols for shell in found.shells[symbol]) if symbols else 0
    if found.says_cartesian and highest > 1 and not cartesian:
        raise InputError(
            "basis", "its text says CARTESIAN (6 d functions, not 5)", "Set cartesian to true, or write SPHERICAL there"
        )
    return {symbol: _atom(found, symbol) for symbol in symbols}


def _atom(found: nwchem_text.BasisText, symbol: str) -> OnAtom:
    shells, ecp = found.shells[symbol], found.ecps.get(symbol)
    if ecp is None and not holds_all_electrons(shells, symbol):
        raise InputError(
            "basis",
            f"its text has too few or too diffuse functions for all electrons of {symbol}, like sets made for an ECP",
            f"Add that ECP to the text, or the lines 'ECP', '{symbol} nelec 0' and 'END' if there is none",
        )
    return OnAtom(shells, ecp if ecp is not None and ecp[1] else None)
