"""Reading a molecule: XYZ files and PySCF's syntax, without evaluating a user's text as PySCF would."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pyscf import gto
from pyscf.data.elements import ELEMENTS

from node.no_eval import evaluate_nothing

evaluate_nothing()

Atom = tuple[str, tuple[float, float, float]]

# Nuclei this close are a typing error: the shortest bond known, in H2+ and its like, is above 0.7 Angstrom.
CLOSEST = 0.2
_SYMBOLS = {symbol.upper(): symbol for symbol in ELEMENTS[1:]}
_REMEDY = "Write one atom per line (or between semicolons): symbol x y z, in Angstrom"
_LONGEST = 50_000  # characters: a thousand atoms, many more than can be treated; reading takes their square
_LONGEST_WORD = 40


class BadInput(ValueError):
    """A parameter that cannot work: which one, why, and what to do; `str` is one clear line."""

    def __init__(self, parameter: str, problem: str, remedy: str) -> None:
        self.parameter = parameter
        self.problem = problem
        self.remedy = remedy
        end = "" if remedy.endswith(("?", ".", "!")) else "."
        super().__init__(" ".join(f"{parameter}: {problem}. {remedy}{end}".split()))

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        return type(self), (self.parameter, self.problem, self.remedy)


@dataclass(frozen=True)
class Geometry:
    """Atoms in the order of the input; coordinates in Angstrom."""

    atoms: list[Atom]

    @property
    def elements(self) -> list[str]:
        """Element symbols without labels (O1 -> O)."""
        return [_element(symbol) for symbol, _ in self.atoms]


def parse_geometry(text: str) -> Geometry:
    """Atoms of an XYZ file's text or of PySCF syntax (Cartesian or Z-matrix).

    Raises BadInput("molecule", ...) quoting the line that is wrong.
    """
    if len(text) > _LONGEST:
        raise BadInput("molecule", f"has {len(text)} characters", f"Give at most {_LONGEST}: the atoms of one molecule")
    lines = _atom_lines(text)
    if not lines:
        raise BadInput("molecule", "holds no atoms", _REMEDY)
    fields = [re.split(r"[\s,]+", line.strip()) for line in lines]
    for line, words in zip(lines, fields, strict=True):
        if any(len(word) > _LONGEST_WORD or not word.isascii() or not word.isprintable() for word in words):
            raise BadInput("molecule", f"the line {_told(line)} is none of a geometry", _REMEDY)
        _check_symbol(words[0], line)
    atoms = _from_zmatrix(lines, fields) if len(fields[0]) == 1 else _from_cartesian(lines, fields)
    _check_distances(atoms)
    return Geometry(atoms)


def _atom_lines(text: str) -> list[str]:
    lines = text.strip("\n").splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
    if lines and re.fullmatch(r"\s*[0-9]{1,9}\s*", lines[0]) and len(lines) > 1:
        count = int(lines[0])
        atoms = [line for line in lines[2 : 2 + count] if line.strip()]
        rest = [line for line in lines[2 + count :] if line.strip()]
        if len(atoms) != count or rest:
            raise BadInput(
                "molecule",
                f"the XYZ header {lines[0].strip()!r} announces {count} atoms, {len(atoms) + len(rest)} follow",
                "Correct the first line; the second line of an XYZ file is a comment",
            )
        return atoms
    parts = [part.split("#")[0] for line in lines for part in line.split(";")]
    return [part for part in parts if part.strip()]


def _told(line: str) -> str:
    """A user's line as a message quotes it."""
    line = line.strip()
    return repr(line if len(line) <= 80 else f"{line[:77]}...")


def _check_symbol(symbol: str, line: str) -> None:
    if _element(symbol).upper() not in _SYMBOLS:
        raise BadInput("molecule", f"unknown element {symbol!r} in the line {_told(line)}", "Correct the symbol")


def _element(symbol: str) -> str:
    """O, o, O1, O_2, 8 -> O; anything else is returned as it is."""
    if symbol.isdigit() and 0 < int(symbol) < len(ELEMENTS):
        return str(ELEMENTS[int(symbol)])
    match = re.fullmatch(r"([A-Za-z]{1,2})[\d_-]*\w*", symbol)
    if match:
        letters = re.match(r"[A-Za-z]+", symbol)
        whole = letters.group(0) if letters else ""
        return str(_SYMBOLS.get(whole.upper(), whole))
    return symbol


def _number(word: str, line: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput("molecule", f"{word!r} is no number in the line {_told(line)}", _REMEDY)
    return value


def _from_cartesian(lines: list[str], fields: list[list[str]]) -> list[Atom]:
    atoms: list[Atom] = []
    for line, words in zip(lines, fields, strict=True):
        if len(words) < 4:
            raise BadInput("molecule", f"the line {_told(line)} has no three coordinates", _REMEDY)
        x, y, z = (_number(word, line) for word in words[1:4])
        atoms.append((_canonical(words[0]), (x, y, z)))
    return atoms


def _from_zmatrix(lines: list[str], fields: list[list[str]]) -> list[Atom]:
    """symbol [atom distance [atom angle [atom dihedral]]], distances in Angstrom, angles in degrees."""
    for n, (line, words) in enumerate(zip(lines, fields, strict=True)):
        if len(words) != 1 + 2 * min(n, 3):
            raise BadInput(
                "molecule",
                f"the Z-matrix line {_told(line)} has {len(words)} fields, not {1 + 2 * min(n, 3)}",
                "Write: symbol, atom distance, atom angle, atom dihedral",
            )
        references = words[1::2]
        if any(not word.isdigit() or not 1 <= int(word) <= n for word in references) or len(set(references)) < len(
            references
        ):
            raise BadInput(
                "molecule",
                f"the Z-matrix line {_told(line)} refers to an atom that is not above it, or twice to one",
                "Number the atoms from 1",
            )
        if any(not 0 <= _number(word, line) <= 180 for word in words[4:5]):
            raise BadInput("molecule", f"the angle in {_told(line)} is not from 0 to 180 degrees", "Correct it")
    # PySCF evaluates these words as Python: it is given numbers that we have read and written ourselves.
    text = "\n".join(
        " ".join([_canonical(words[0]), *(str(int(word)) if n % 2 == 0 else repr(_number(word, line))
                                          for n, word in enumerate(words[1:]))])
        for line, words in zip(lines, fields, strict=True)
    )  # fmt: skip
    return [(symbol, (float(xyz[0]), float(xyz[1]), float(xyz[2]))) for symbol, xyz in gto.mole.from_zmatrix(text)]


def _canonical(symbol: str) -> str:
    element = _element(symbol)
    letters = 0 if symbol.isdigit() else len(re.match(r"[A-Za-z]*", symbol)[0])  # type: ignore[index]
    return element + ("" if symbol.isdigit() else symbol[letters:])


def _check_distances(atoms: list[Atom]) -> None:
    for n, (symbol, xyz) in enumerate(atoms):
        for m, (other, there) in enumerate(atoms[:n]):
            distance = math.dist(xyz, there)
            if not math.isfinite(distance) or distance < CLOSEST:
                raise BadInput(
                    "molecule",
                    f"atoms {m + 1} ({other}) and {n + 1} ({symbol}) lie {distance:.3f} Angstrom apart",
                    "Correct the coordinates, which are taken in Angstrom",
                )
