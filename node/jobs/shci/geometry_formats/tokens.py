"""Tokens of a geometry: symbols and numbers, parsed without evaluating anything."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from pyscf.data.elements import ELEMENTS

from spotwave.node.input_error import InputError

Atom = tuple[str, tuple[float, float, float]]

REMEDY = "Write one atom per line (or between semicolons): symbol x y z, in Angstrom"
_SYMBOLS = {symbol.upper(): symbol for symbol in ELEMENTS[1:]}
_NUMBERS = {symbol: n for n, symbol in enumerate(ELEMENTS)}
# Isotopes have the same electronic structure.
_ISOTOPES = {"D": "H", "T": "H"}
_LONGEST_WORD = 40
_LABELLED = re.compile(r"([A-Za-z]{1,2})((?:[0-9_@-]+[A-Za-z]?)?)")
# Fortran writes 1.0D+00. Mathematica, which produced the files of QM9, writes 1.0*^-6.
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:(?:[eEdD]|\*\^)([+-]?[0-9]+))?")
_DASHES = re.compile("[\u2010-\u2015\ufe63\uff0d]")
# X, DA, Du, Q and Lp are dummies; the others are ghosts: X-H and GHOST-H of PySCF, bqH, H-Bq, Gh(H), @H, H: of others.
_DUMMY = re.compile(r"X[0-9]*|X[-:_].*|DA|DU|Q|LP|BQ.*|.*-BQ|GH|GH[(-].*|GHOST.*|@.*|.*:")


@dataclass(frozen=True)
class Row:
    """A line of the user's text and its words: symbol x y z, or those of a Z-matrix line."""

    line: str
    words: list[str]


@dataclass(frozen=True)
class Draft:
    """Content of a text before its numbers are parsed."""

    rows: list[Row]
    variables: list[Row] = field(default_factory=list)  #: of a Z-matrix
    bohr: bool | None = None  #: None if no unit is stated: Angstrom
    charge: int | None = None
    multiplicity: int | None = None


def quoted(line: str) -> str:
    """Return a user's line, quoted and truncated for a message."""
    line = line.strip()
    shown = repr(line if len(line) <= 80 else f"{line[:77]}...")
    return shown if len(shown) <= 120 else f"{shown[:116]}...'"


def row(line: str) -> Row:
    """Split a line into words. Raises InputError if one cannot be part of a geometry."""
    words = [word for word in re.split(r"[\s,]+", line) if word]
    if _DASHES.search(line):
        raise InputError("molecule", f"the line {quoted(line)} has a dash instead of a minus", "Write a minus as -")
    if any(len(word) > _LONGEST_WORD or not word.isascii() or not word.isprintable() for word in words):
        raise InputError("molecule", f"the line {quoted(line)} is not part of a geometry", REMEDY)
    return Row(line, words)


def is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None


def number(word: str, line: str) -> float:
    match = _NUMBER.fullmatch(word)
    value = float(f"{match[1]}e{match[2] or 0}") if match else math.nan
    if not math.isfinite(value):
        raise InputError("molecule", f"{word!r} is not a number, in the line {quoted(line)}", REMEDY)
    return value


def element(symbol: str) -> str | None:
    """Return the element: O, o, O1, O_2, O@1, 8 -> O; D, T -> H; None if it is not an element."""
    if symbol.isascii() and symbol.isdigit():
        return str(ELEMENTS[int(symbol)]) if 0 < int(symbol[-9:]) < len(ELEMENTS) and len(symbol) < 9 else None
    match = _LABELLED.fullmatch(symbol)
    letters = match[1].upper() if match else ""
    return _ISOTOPES.get(letters) or _SYMBOLS.get(letters)


def nuclear_charge(symbol: str) -> int | None:
    """Return the nuclear charge, e.g. 8 for O; None if it is not an element."""
    return _NUMBERS.get(element(symbol) or "")


def is_dummy(symbol: str) -> bool:
    """Return whether a symbol is a position without a nucleus: X and others."""
    return _DUMMY.fullmatch(symbol.upper()) is not None


def check_symbol(symbol: str, line: str) -> None:
    if symbol.upper() == "TV":
        raise InputError(
            "molecule", f"the line {quoted(line)} defines a crystal", "Crystals are not supported: give a molecule"
        )
    ghost = re.fullmatch(r"[Xx](.+)", symbol)
    if is_dummy(symbol) or (ghost and element(symbol) is None and element(ghost[1])):
        raise InputError(
            "molecule",
            f"{symbol!r} in the line {quoted(line)} is a ghost or dummy atom",
            "Remove it: only nuclei are supported, and a dummy X only in a Z-matrix",
        )
    if element(symbol) is None:
        raise InputError("molecule", f"unknown element {symbol!r} in the line {quoted(line)}", "Correct the symbol")


def canonical(symbol: str) -> str:
    """Return the element with a label that PySCF can read: letters of the label would become part of the symbol."""
    match = _LABELLED.fullmatch(symbol)
    return f"{element(symbol)}{re.sub('[A-Za-z]', '', match[2]) if match else ''}"
