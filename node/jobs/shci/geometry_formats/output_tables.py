"""Parse molecules from files and outputs whose tables have a heading that describes the columns."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyscf.data.elements import ELEMENTS

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.tokens import (
    Draft,
    Row,
    element,
    is_number,
    nuclear_charge,
    number,
    quoted,
    row,
)

_COORD = re.compile(r"\s*\$coord\b(.*)", re.I)
_MOLDEN = re.compile(r"\s*\[atoms\]\s*\(?\s*(\w*)\s*\)?\s*", re.I)
_GAUSSIAN = re.compile(r"\s*center\s+atomic\s+(?:atomic\s+)?coordinates\s+\((angstroms|bohr)\)\s*", re.I)
_GAMESS = re.compile(r"\s*(?:atom\s+atomic\s+coordinates|coordinates of all atoms are)\s+\((bohr|angs)\)\s*", re.I)
_GAUSSIAN_COLUMNS = re.compile(r"\s*number\s+number\b", re.I)
_GAMESS_COLUMNS = re.compile(r"\s*(?:CHARGE[\s,]+X|ATOM[\s,]+CHARGE)(?:[\s,]|$)")
_PDB = re.compile(r"(?:ATOM|HETATM)\b")
_RECORD = re.compile(r"[A-Z]{3,6}[0-9]?(?: |$)")
_RULE = re.compile(r"\s*-{5,}\s*")


def read_table(lines: list[str]) -> Draft | None:
    """Parse a table with a known heading; None if the lines contain none."""
    for reader in (_turbomole, _molden, _gaussian, _gamess, _pdb):
        draft = reader(lines)
        if draft:
            return draft
    return None


def _heading(program: str, pattern: re.Pattern[str], lines: list[str]) -> tuple[re.Match[str], list[str]] | None:
    """Return the heading and the lines below it; None if there is no heading."""
    found = [(n, match) for n, line in enumerate(lines) if (match := pattern.fullmatch(line))]
    if len(found) > 1:
        raise InputError("molecule", f"contains several tables of {program}", "Give one, the last of a relaxation")
    return (found[0][1], lines[found[0][0] + 1 :]) if found else None


def _table(below: list[str], columns: re.Pattern[str]) -> Iterator[str]:
    """Yield the rows between rules or blank lines, without the line that names the columns."""
    begun = False
    for line in below:
        if _RULE.fullmatch(line) or not line.strip():
            if begun:
                return
        elif begun or not columns.match(line):
            begun = True
            yield line


def _refused(line: str, what: str, remedy: str) -> InputError:
    return InputError("molecule", f"the line {quoted(line)} is not a row of {what}", remedy)


def _turbomole(lines: list[str]) -> Draft | None:
    found = _heading("Turbomole", _COORD, lines)
    if not found:
        return None
    head, below = found
    if any(re.match(r"\s*\$(?:periodic|lattice|cell)\b", line, re.I) for line in lines):
        raise InputError(
            "molecule", "the Turbomole file is of a crystal", "Crystals are not supported: give a molecule"
        )
    options = [word.lower() for word in head[1].split() if not word.lower().startswith("natoms=")]
    if options and options not in (["bohr"], ["angs"], ["angstrom"]):
        raise InputError("molecule", f"the line {quoted(head[0])} is not supported", "Use $coord or $coord angs")
    end = next((n for n, line in enumerate(below) if line.lstrip().startswith("$")), None)
    if end is None:
        raise InputError("molecule", "the end of the Turbomole atoms is missing", "Give it from $coord to $end")
    rows = []
    for line in below[:end]:
        found_row = row(line.split("#")[0])
        words = found_row.words
        if not words:
            continue
        if len(words) not in {4, 5} or (len(words) == 5 and words[4].lower() != "f"):
            raise _refused(line, "Turbomole ($coord)", "Write x y z symbol, in Bohr")
        rows.append(Row(line, [words[3], *words[:3]]))
    return Draft(rows, bohr=options in ([], ["bohr"]))


def _molden(lines: list[str]) -> Draft | None:
    found = _heading("Molden", _MOLDEN, lines)
    if not found:
        return None
    head, below = found
    unit = {"au": True, "angs": False, "angstrom": False, "bohr": True}.get(head[1].lower())
    if unit is None:
        raise InputError("molecule", "the Molden file does not state its unit", "Write [Atoms] AU or [Atoms] Angs")
    rows = []
    for line in below:
        if line.lstrip().startswith("["):
            break
        words = row(line).words
        if words and len(words) != 6:
            raise _refused(line, "a Molden file", "Write symbol, number, nuclear charge, x y z")
        if words:
            _check_charge(line, words[0], words[2])
            rows.append(Row(line, [words[0], *words[3:]]))
    return Draft(rows, bohr=unit)


def _check_charge(line: str, symbol: str, charge: str) -> None:
    if not is_number(charge) or number(charge, line) != nuclear_charge(symbol):
        raise InputError(
            "molecule",
            f"the line {quoted(line)} has the nuclear charge {charge}, which is not that of {symbol}",
            "Correct one of them; omit ghost atoms",
        )


def _gaussian(lines: list[str]) -> Draft | None:
    found = _heading("Gaussian", _GAUSSIAN, lines)
    if not found:
        return None
    head, below = found
    rows: list[Row] = []
    for line in _table(below, _GAUSSIAN_COLUMNS):
        words = row(line).words
        if len(words) not in {5, 6} or words[0] != str(len(rows) + 1) or not element(words[1]):
            raise _refused(
                line,
                "Gaussian's table",
                "Its rows are centre, atomic number, type, x y z; omit dummies (0 or -1)",
            )
        rows.append(Row(line, [str(ELEMENTS[int(words[1])]), *words[-3:]]))
    return Draft(rows, bohr=head[1].lower() == "bohr")


def _gamess(lines: list[str]) -> Draft | None:
    found = _heading("GAMESS", _GAMESS, lines)
    if not found:
        return None
    head, below = found
    rows: list[Row] = []
    for line in _table(below, _GAMESS_COLUMNS):
        words = row(line).words
        if len(words) != 5:
            raise _refused(line, "a table of GAMESS", "Its rows are symbol, nuclear charge, x y z")
        _check_charge(line, words[0], words[1])
        rows.append(Row(line, [words[0], *words[2:]]))
    return Draft(rows, bohr=head[1].lower() == "bohr")


def _pdb(lines: list[str]) -> Draft | None:
    """Parse a PDB file by column position. The element is read from its own columns, since CA is carbon or calcium."""
    atoms = [line for line in lines if _PDB.match(line)]
    if not atoms:
        return None
    for line in lines:
        if line.strip() and not _RECORD.match(line):
            raise _refused(line, "a PDB file", "Give the unchanged file, or an XYZ file")
    if sum(line.startswith("MODEL ") for line in lines) > 1:
        raise InputError("molecule", "the PDB file contains several models", "Give one of them")
    rows = []
    for line in atoms:
        words = [line[76:78].strip(), *(line[n : n + 8].strip() for n in (30, 38, 46))]
        if not words[0].isalpha() or not all(map(is_number, words[1:])):
            raise InputError(
                "molecule",
                f"the line {quoted(line)} of a PDB file has no element in columns 77-78, or no coordinates in 31-54",
                "Give an XYZ file",
            )
        if line[16:17].strip() or not (is_number(line[54:60].strip()) and number(line[54:60].strip(), line) == 1):
            raise InputError(
                "molecule",
                f"the atom in the line {quoted(line)} of a PDB file has several positions or an occupancy other than 1",
                "Give one position for each atom, as an XYZ file",
            )
        rows.append(Row(line, words))
    return Draft(rows)
