"""Parse a molecule: XYZ files, PySCF's syntax and tables of other programs, without evaluating the user's text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pyscf.data.nist import BOHR

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.atom_lines import pieces, plain
from spotwave.node.jobs.shci.geometry_formats.columns import refuse_columns
from spotwave.node.jobs.shci.geometry_formats.output_tables import read_table
from spotwave.node.jobs.shci.geometry_formats.program_inputs import read_input
from spotwave.node.jobs.shci.geometry_formats.tokens import (
    REMEDY,
    Atom,
    Draft,
    Row,
    canonical,
    check_symbol,
    element,
    number,
    quoted,
)
from spotwave.node.jobs.shci.geometry_formats.unsupported import refuse_formats
from spotwave.node.jobs.shci.geometry_formats.xyz import is_count, xyz
from spotwave.node.jobs.shci.geometry_formats.zmatrix import from_zmatrix

__all__ = ["Atom", "Geometry", "InputError", "parse_geometry"]

# Nuclei closer than this (Angstrom) indicate a typing error: the shortest known bonds, as in H2+, exceed 0.7 Angstrom.
CLOSEST = 0.2
_LONGEST = 50_000  # characters: about a thousand atoms, more than can be computed; parsing time grows quadratically


@dataclass(frozen=True)
class Geometry:
    """Atoms in the order of the input; coordinates in Angstrom."""

    atoms: list[Atom]
    charge: int | None = None  #: if the text states it, as inputs of other programs do
    multiplicity: int | None = None

    @property
    def elements(self) -> list[str]:
        """Element symbols without labels (O1 -> O)."""
        return [element(symbol) or symbol for symbol, _ in self.atoms]


def parse_geometry(text: str) -> Geometry:
    """Parse the atoms of an XYZ file, PySCF syntax (Cartesian or Z-matrix), or another program (docs/geometries.md).

    Raises InputError("molecule", ...) quoting the line that is wrong.
    """
    if len(text) > _LONGEST:
        raise InputError(
            "molecule", f"has {len(text)} characters", f"Give at most {_LONGEST}: the atoms of one molecule"
        )
    draft = _draft(text)
    if not draft.rows:
        raise InputError("molecule", "contains no atoms", REMEDY)
    if len(draft.rows) == 1 and re.fullmatch("[A-Z]{2}", text.strip()) and all(map(element, text.strip())):
        raise InputError(
            "molecule",
            f"{text.strip()!r} can be read as an element or as a formula, and a formula has no coordinates",
            f"Write {element(text.strip())} for the atom, and the coordinates of a molecule",
        )
    if len(draft.rows[0].words) == 1:
        atoms = from_zmatrix(draft.rows, draft.variables)
    else:
        atoms = _from_cartesian(draft.rows, draft.variables)
    if draft.bohr:
        atoms = [(symbol, (x * BOHR, y * BOHR, z * BOHR)) for symbol, (x, y, z) in atoms]
    if not atoms:
        raise InputError("molecule", "contains only dummy atoms", REMEDY)
    _check_distances(atoms)
    return Geometry(atoms, draft.charge, draft.multiplicity)


def _draft(text: str) -> Draft:
    # Remove a byte order mark, and replace U+2212, the typographic minus.
    lines = text.removeprefix("\ufeff").replace("\u2212", "-").splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
    if len(lines) > 1 and is_count(lines[0]):
        refuse_formats(lines[2:4])  # the title of an MDL file may begin with a number
        return xyz(lines)
    refuse_formats(lines)
    parts = pieces("\n".join(lines))
    return read_table(lines) or read_input(parts) or plain(parts)


def _from_cartesian(rows: list[Row], variables: list[Row]) -> list[Atom]:
    refuse_columns(rows)
    for row in rows:
        check_symbol(row.words[0], row.line)
    if variables:
        raise InputError(
            "molecule",
            f"the line {quoted(variables[0].line)} assigns a variable, but there is no Z-matrix",
            "Write numbers for the coordinates",
        )
    atoms: list[Atom] = []
    for row in rows:
        if len(row.words) < 4:
            raise InputError("molecule", f"the line {quoted(row.line)} does not have three coordinates", REMEDY)
        x, y, z = (number(word, row.line) for word in row.words[1:4])
        atoms.append((canonical(row.words[0]), (x, y, z)))
    return atoms


def _check_distances(atoms: list[Atom]) -> None:
    for n, (symbol, xyz_) in enumerate(atoms):
        for m, (other, there) in enumerate(atoms[:n]):
            distance = math.dist(xyz_, there)
            if not math.isfinite(distance) or distance < CLOSEST:
                raise InputError(
                    "molecule",
                    f"atoms {m + 1} ({other}) and {n + 1} ({symbol}) are {distance:.3f} Angstrom apart",
                    "Correct the coordinates, which are read as Angstrom",
                )
