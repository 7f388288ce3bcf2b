"""Parse Z-matrices. PySCF computes the coordinates from numbers that are parsed and written here."""

from __future__ import annotations

import re

import numpy as np
from pyscf import gto

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.tokens import (
    Atom,
    Row,
    canonical,
    check_symbol,
    is_dummy,
    is_number,
    number,
    quoted,
)
from spotwave.node.jobs.shci.pyscf_without_eval import evaluate_nothing

evaluate_nothing()

_VARIABLE = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)(?:\s*=\s*|\s+)(\S+)\s*")
_PARALLEL = 1e-4  # of the cross product of unit vectors: below this, a dihedral angle about the axis is undefined


def from_zmatrix(rows: list[Row], variables: list[Row]) -> list[Atom]:
    """Convert rows of symbol [atom distance [atom angle [atom dihedral]]] to atoms; angles in degrees.

    Dummies (X) may be used as references and are omitted from the result.
    """
    values = _values(variables)
    used: set[str] = set()
    lines = [_checked(rows, n, values, used) for n in range(len(rows))]
    unused = sorted(set(values) - used)
    if unused:
        raise InputError("molecule", f"no line of the Z-matrix uses the variable {unused[0]!r}", "Remove it")
    # PySCF is given only numbers, and H as the symbol of every atom.
    text = "\n".join(" ".join(["H", *(str(ref) if n % 2 == 0 else repr(ref) for n, ref in enumerate(line))])
                     for line in lines)  # fmt: skip
    places = [np.array(xyz, dtype=float) for _, xyz in gto.mole.from_zmatrix(text)]
    for row, line in zip(rows, lines, strict=True):
        _check_dihedral(row, line, places)
    return [
        (canonical(row.words[0]), (float(xyz[0]), float(xyz[1]), float(xyz[2])))
        for row, xyz in zip(rows, places, strict=True)
        if not is_dummy(row.words[0])
    ]


def _values(variables: list[Row]) -> dict[str, float]:
    values: dict[str, float] = {}
    for row in variables:
        match = _VARIABLE.fullmatch(row.line)
        if not match or not is_number(match[2]):
            raise InputError(
                "molecule",
                f"the line {quoted(row.line)} does not assign a variable of a Z-matrix",
                "Write name = number, one per line",
            )
        if match[1] in values:
            raise InputError("molecule", f"the variable {match[1]!r} has two values", "Remove one of them")
        values[match[1]] = number(match[2], row.line)
    return values


def _checked(rows: list[Row], n: int, values: dict[str, float], used: set[str]) -> list[int | float]:
    """Return references and values of the n-th line as numbers."""
    line, words = rows[n].line, rows[n].words
    if not re.fullmatch(r"[Xx][0-9]*", words[0]):
        check_symbol(words[0], line)
    if len(words) != 1 + 2 * min(n, 3):
        raise InputError(
            "molecule",
            f"the Z-matrix line {quoted(line)} has {len(words)} fields, not {1 + 2 * min(n, 3)}",
            "Write symbol, atom distance, atom angle, atom dihedral",
        )
    above = [row.words[0] for row in rows[:n]]
    references = [_reference(word, above) for word in words[1::2]]
    if any(not 1 <= one <= n for one in references) or len(set(references)) < len(references):
        raise InputError(
            "molecule",
            f"the Z-matrix line {quoted(line)} refers to an atom that is not above it, or twice to the same atom",
            "Number the atoms from 1",
        )
    measures = [_measure(word, line, values, used) for word in words[2::2]]
    if any(measure <= 0 for measure in measures[:1]):
        raise InputError("molecule", f"the distance in {quoted(line)} is not above 0", "Correct it")
    if any(not 0 <= measure <= 180 for measure in measures[1:2]):
        raise InputError("molecule", f"the angle in {quoted(line)} is not from 0 to 180 degrees", "Correct it")
    return [one for pair in zip(references, measures, strict=True) for one in pair]


def _reference(word: str, above: list[str]) -> int:
    """Return the number of an atom given by number or by a unique label; 0 if there is none."""
    if word.isascii() and word.isdigit():
        return int(word)
    return above.index(word) + 1 if above.count(word) == 1 else 0


def _measure(word: str, line: str, values: dict[str, float], used: set[str]) -> float:
    """Return a number, or the value of a variable with an optional sign."""
    name = word.lstrip("+-")
    if name in values and len(word) - len(name) <= 1:
        used.add(name)
        return -values[name] if word.startswith("-") else values[name]
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and name.lower() not in {"nan", "inf", "infinity"}:
        raise InputError(
            "molecule",
            f"{word!r} in the line {quoted(line)} is neither a number nor a variable with a value",
            "Write its value below the Z-matrix: name = number",
        )
    return number(word, line)


def _check_dihedral(row: Row, line: list[int | float], places: list[np.ndarray]) -> None:
    """Refuse a dihedral angle whose reference atoms are collinear, for which PySCF would take any direction."""
    if len(line) < 6 or min(line[3], 180 - line[3]) < 1e-6:
        return
    one, two, three = (places[int(n) - 1] for n in line[::2])
    there, back = two - one, three - two
    if np.linalg.norm(np.cross(there, back)) < _PARALLEL * np.linalg.norm(there) * np.linalg.norm(back):
        raise InputError(
            "molecule",
            f"the dihedral angle in {quoted(row.line)} is undefined: the atoms it refers to lie on one line",
            "Refer to other atoms, or add a dummy atom X beside the line",
        )
