"""Refuse rows with other columns than symbol x y z, naming their format: without a heading they are ambiguous."""

from __future__ import annotations

import re

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.tokens import (
    Row,
    element,
    is_number,
    nuclear_charge,
    number,
    quoted,
)

_ROWS = "Write symbol x y z, in Angstrom"
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_UNCERTAIN = re.compile(r"[+-]?[0-9]*\.?[0-9]+\([0-9]+\)")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")


def refuse_columns(rows: list[Row]) -> None:
    """Raise InputError for rows, without the header of an XYZ file, that have other or additional columns."""
    for row in rows:
        found = _of_one(row)
        if found:
            name, remedy = found
            raise InputError("molecule", f"the line {quoted(row.line)} looks like {name}", remedy)
    if len(rows) > 2 and _counts(rows):
        raise InputError(
            "molecule",
            f"the lines begin with 1 to {len(rows)}, which may be elements or may number the atoms",
            "Write symbols: symbol x y z, in Angstrom",
        )
    for row in rows:
        if len(row.words) > 4:
            raise InputError(
                "molecule",
                f"the line {quoted(row.line)} has {len(row.words) - 1} columns after the symbol, not three",
                "Write symbol x y z; further columns are read in an XYZ file, with its count line and its comment line",
            )


def refuse_in_xyz(rows: list[Row]) -> None:
    """Raise InputError if every row of an XYZ file has another program's column before the coordinates."""
    if any(len(row.words) < 5 for row in rows):
        return
    for is_of, name in ((_gaussian_table, GAUSSIAN_TABLE), (_gamess, GAMESS), (_frozen, FREEZE_CODES)):
        if all(is_of(row.words) for row in rows) and (is_of is not _gaussian_table or _counts(rows)):
            raise InputError("molecule", f"the line {quoted(rows[0].line)} looks like {name[0]}", name[1])


GAMESS = (
    "a row of GAMESS (symbol, nuclear charge, x y z), which may be in Bohr",
    "Give the table with its heading, which names the unit, or leave out the charges and write Angstrom",
)
FREEZE_CODES = (
    "a row of a Gaussian input with a freeze code (symbol, 0 or -1, x y z)",
    "Give the line of charge and multiplicity before it, or omit the codes; write 0.0 for a coordinate",
)
GAUSSIAN_TABLE = (
    "a row of Gaussian's orientation table (centre, atomic number, perhaps type, x y z)",
    "Give the table with its heading, or symbol x y z",
)


def _of_one(row: Row) -> tuple[str, str] | None:
    """Return the format that a row resembles and the remedy; None for symbol x y z and unknown formats."""
    words = row.words
    if any(_DECIMAL_COMMA.fullmatch(word) for word in row.line.split()):
        return "a row with decimal commas", "Write decimal points"
    if any(_UNCERTAIN.fullmatch(word) for word in words[1:]):
        return CIF
    if len(words) >= 5 and element(words[0]) and not is_number(words[0]) and words[1].isalpha() and element(words[1]):
        return CIF
    if len(words) >= 4 and all(map(is_number, words[:3])) and words[3].isalpha():
        return "a row of Turbomole (x y z symbol), which is in Bohr", f"Give it from $coord to $end. Or: {_ROWS}"
    if len(words) >= 5 and _INTEGER.fullmatch(words[0]) and words[1][:1].isalpha() and element(words[1]):
        return "a row of a numbered table (number, symbol, x y z)", f"Omit the numbers. {_ROWS}"
    if len(words) < 5 or not all(map(is_number, words[1:])):
        return None
    if _gaussian_table(words):
        return GAUSSIAN_TABLE
    if _gamess(words):
        return GAMESS
    if _frozen(words):
        return FREEZE_CODES
    if len(words) == 6 and words[1].isdigit() and words[2] == str(nuclear_charge(words[0])):
        return "a row of a Molden file (symbol, number, nuclear charge, x y z)", "Give it with its [Atoms] AU or Angs"
    if len(words) >= 7 and all(word in {"0", "1", "-1"} for word in words[2:7:2]):
        return "a row of MOPAC (symbol, x flag y flag z flag)", f"Omit the flags. {_ROWS}"
    return None


CIF = (
    "a row of a CIF (label, element, fractions of the cell's axes)",
    "Crystals are not supported: give a molecule, as an XYZ file",
)


def _gaussian_table(words: list[str]) -> bool:
    whole = [_INTEGER.fullmatch(word) is not None for word in words]
    coordinates = words[-3:]
    return len(words) in {5, 6} and all(whole[:-3]) and any("." in word for word in coordinates)


def _gamess(words: list[str]) -> bool:
    charge = nuclear_charge(words[0])
    return len(words) == 5 and charge is not None and is_number(words[1]) and number(words[1], words[1]) == charge


def _frozen(words: list[str]) -> bool:
    return len(words) == 5 and words[1] in {"0", "-1"} and not any(_INTEGER.fullmatch(word) for word in words[2:])


def _counts(rows: list[Row]) -> bool:
    return [row.words[0] for row in rows] == [str(n + 1) for n in range(len(rows))]
