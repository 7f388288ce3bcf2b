"""Parse molecules from other programs' inputs, where the atoms are in a block with delimiters."""

from __future__ import annotations

import re

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.atom_lines import plain
from spotwave.node.jobs.shci.geometry_formats.length_units import agreed, unit_line, unit_of_comment
from spotwave.node.jobs.shci.geometry_formats.tokens import Draft, Row, quoted
from spotwave.node.jobs.shci.geometry_formats.xyz import is_count, xyz

_CHARGE = re.compile(r"\s*([+-]?[0-9]{1,3})(?:\s+|\s*,\s*)([0-9]{1,3})\s*")
_COMMENTS = "#!"
_SWITCH = r"(?:noorient|nosym|no_com|no_reorient|noautosym|nocenter|noautoz|nocom|symmetry[\s,]+(?:c1|nosym))"
_SWITCHES = re.compile(rf"\s*{_SWITCH}\s*", re.I)
_ORCA = re.compile(r"\s*\*\s*([a-z]+)\b(.*)", re.I)
_QCHEM_BOHR = re.compile(r"\s*input_bohr\s*=?\s*(?:true|1)\b", re.I)
_PSI4 = re.compile(r"\s*molecule\b[^{=]*\{", re.I)
_MOLPRO = re.compile(r"\s*geometry\s*=\s*(.*)", re.I)
_NWCHEM = re.compile(r"\s*geometry\b(?!\s*=)(.*)", re.I)


def read_input(parts: list[str]) -> Draft | None:
    """Parse the input of a known program; None if the lines are none."""
    for reader in (_orca, _qchem, _psi4, _molpro, _nwchem, _bare_charge):
        draft = reader(parts)
        if draft:
            return draft
    return None


def charge_line(line: str) -> tuple[int, int] | None:
    """Return charge and multiplicity of a line that has only these, else None."""
    match = _CHARGE.fullmatch(line)
    return (int(match[1]), int(match[2])) if match else None


def of_atoms(program: str, lines: list[str], charge: tuple[int, int] | None = None, bohr: bool | None = None) -> Draft:
    """Parse the atoms of a block, with charge, multiplicity and unit given before it."""
    if any(re.fullmatch(r"\s*--+\s*", line) for line in lines):
        raise InputError("molecule", f"the {program} input has fragments, separated by --", "Give one molecule")
    draft = plain([line for line in lines if not _SWITCHES.fullmatch(line)], _COMMENTS)
    if charge and charge[1] < 1:
        raise InputError("molecule", f"the {program} input has the multiplicity {charge[1]}", "Give 2S + 1, at least 1")
    charge_, multiplicity = charge or (None, None)
    return Draft(draft.rows, draft.variables, agreed([bohr, draft.bohr]), charge_, multiplicity)


def _between(program: str, lines: list[str], begin: int, end: str) -> list[str]:
    """Return the lines from `begin` to the end of the block. Raises InputError if the text is truncated."""
    for n in range(begin, len(lines)):
        if re.fullmatch(rf"\s*{end}\s*", lines[n], re.I):
            return lines[begin:n]
    raise InputError("molecule", f"the end of the atoms of the {program} input is missing", "Give the whole block")


def _first(program: str, pattern: re.Pattern[str], lines: list[str]) -> tuple[int, re.Match[str]] | None:
    found = [(n, match) for n, line in enumerate(lines) if (match := pattern.match(line))]
    if len(found) > 1:
        raise InputError("molecule", f"the {program} input contains several molecules", "Give one of them")
    return found[0] if found else None


def _orca(lines: list[str]) -> Draft | None:
    found = _first("ORCA", _ORCA, lines)
    if not found:
        return None
    n, head = found
    kind, charge = head[1].lower(), charge_line(head[2])
    if kind not in {"xyz", "gzmt"} or not charge:
        raise InputError(
            "molecule",
            f"the line {quoted(lines[n])} of an ORCA input is not supported",
            "Give the atoms themselves: * xyz charge multiplicity, then symbol x y z, then *",
        )
    bohr = any(re.match(r"\s*!.*\bbohrs?\b", line, re.I) for line in lines) or None
    return of_atoms("ORCA", _between("ORCA", lines, n + 1, r"\*"), charge, bohr)


def _qchem(lines: list[str]) -> Draft | None:
    found = _first("Q-Chem", re.compile(r"\s*\$molecule\b", re.I), lines)
    if not found:
        return None
    block = [line for line in _between("Q-Chem", lines, found[0] + 1, r"\$end")]
    while block and not block[0].strip():
        block.pop(0)
    charge = charge_line(block[0]) if block else None
    if not charge:
        raise InputError(
            "molecule",
            "the Q-Chem input has no charge and multiplicity after $molecule",
            "Give them before the atoms",
        )
    return of_atoms("Q-Chem", block[1:], charge, any(_QCHEM_BOHR.match(line) for line in lines) or None)


def _psi4(lines: list[str]) -> Draft | None:
    found = _first("Psi4", _PSI4, lines)
    if not found:
        return None
    n, head = found
    block = _between("Psi4", _braces(lines[n][head.end() :], lines[n + 1 :]), 0, r"\}")
    while block and not block[0].strip():
        block.pop(0)
    charge = charge_line(block[0]) if block else None
    return of_atoms("Psi4", block[1:] if charge else block, charge)


def _braces(first: str, others: list[str]) -> list[str]:
    """Return the lines, split so that each closing brace is on a line of its own."""
    return [part for line in [first, *others] for part in re.split(r"(?=\})|(?<=\})", line)]


def _molpro(lines: list[str]) -> Draft | None:
    found = _first("Molpro", _MOLPRO, lines)
    if not found:
        return None
    n, head = found
    if not head[1].startswith("{"):
        raise InputError("molecule", f"the line {quoted(lines[n])} names a file", "Give the geometry itself")
    block = _between("Molpro", _braces(head[1][1:], lines[n + 1 :]), 0, r"\}")
    while block and not block[0].strip():
        block.pop(0)
    if len(block) > 1 and is_count(block[0]):
        return xyz(block)
    outside = [*lines[:n], *block]
    if all(unit_line(line) is None for line in outside):
        raise InputError(
            "molecule",
            "a Molpro geometry without the header of an XYZ file may be in Bohr or in Angstrom",
            "Add a line bohr or angstrom inside the braces",
        )
    return of_atoms("Molpro", [*filter(_states_unit, lines[:n]), *block])


def _states_unit(line: str) -> bool:
    return unit_line(line) is not None


def _nwchem(lines: list[str]) -> Draft | None:
    found = _first("NWChem", _NWCHEM, lines)
    if not found:
        return None
    n, head = found
    units = re.search(r"\bunits\s+(\S+)", head[1], re.I)
    bohr = unit_line(f"units={units[1]}") if units else None
    if units and bohr is None:
        raise InputError("molecule", f"the line {quoted(lines[n])} has an unknown unit", "Use angstrom or bohr")
    return of_atoms("NWChem", _between("NWChem", lines, n + 1, "end"), None, bohr)


def _bare_charge(lines: list[str]) -> Draft | None:
    """Parse atoms after a line of charge and multiplicity, alone or in a whole Gaussian input."""
    head = [n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("%")]
    if not head:
        return None
    begin, route, title = head[0], "", ""
    if lines[begin].lstrip().startswith("#"):
        blank = _next_blank(lines, begin)
        route = " ".join(lines[begin:blank])
        begin = _next_blank(lines, blank + 1) + 1
        title = " ".join(lines[blank + 1 : begin])
    charge = charge_line(lines[begin]) if begin < len(lines) else None
    if not charge:
        return None
    end = _next_blank(lines, begin + 1)
    atoms, rest = lines[begin + 1 : end], lines[end:]
    if any(line.strip().lower() == "--link1--" for line in rest):
        raise InputError("molecule", "the Gaussian input contains several jobs", "Give one of them")
    zmatrix = bool(atoms) and len(atoms[0].split()) == 1
    if not zmatrix and not route and any(line.strip() for line in rest):
        raise InputError("molecule", "has lines after the blank line that ends its atoms", "Remove them")
    draft = of_atoms("Gaussian", [*atoms, *rest] if zmatrix else atoms, charge, _bohr_of_route(route, title))
    rows = draft.rows if zmatrix else [_without_freeze_code(row) for row in draft.rows]
    return Draft(rows, draft.variables, draft.bohr, draft.charge, draft.multiplicity)


def _next_blank(lines: list[str], begin: int) -> int:
    return next((n for n in range(begin, len(lines)) if not lines[n].strip()), len(lines))


def _bohr_of_route(route: str, title: str) -> bool | None:
    units = re.search(r"\bunits\b\s*=?\s*\(?([a-z, ]*)", route, re.I)
    words = set(re.split(r"[, ]+", units[1].lower())) if units else set()
    if words & {"rad", "radian", "radians"}:
        raise InputError("molecule", "the Gaussian input has angles in radians", "Give degrees")
    bohr = bool(words & {"au", "bohr"})
    if unit_of_comment(title) not in {None, bohr}:
        raise InputError(
            "molecule", f"the title {quoted(title)} contradicts the unit of the route", "Write units=au into the route"
        )
    return bohr if route else None


def _without_freeze_code(row: Row) -> Row:
    words = row.words
    return Row(row.line, [words[0], *words[2:]]) if len(words) == 5 and words[1] in {"0", "-1"} else row
