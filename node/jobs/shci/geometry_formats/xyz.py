"""Parse XYZ files: a count, a comment, then the atoms. Extended files describe their columns in the comment."""

from __future__ import annotations

import re

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.columns import refuse_in_xyz
from spotwave.node.jobs.shci.geometry_formats.length_units import agreed, unit_line, unit_of_comment
from spotwave.node.jobs.shci.geometry_formats.tokens import Draft, Row, element, is_number, quoted, row

# Some programs write the unit after the count.
_COUNT = re.compile(r"\s*([0-9]{1,9})(?:\s+(bohr|atomic|angstroe?m)(?:d0)?)?\s*", re.I)
_PROPERTIES = re.compile(r"(?<!\w)properties=(\"[^\"]*\"|'[^']*'|\S+)", re.I)
_LATTICE = re.compile(r"(?<!\w)lattice=", re.I)
_OPEN = re.compile(r"(?<!\w)pbc=[\"'\[]?\s*(?:f|false|0)[\s,]+(?:f|false|0)[\s,]+(?:f|false|0)\b", re.I)
_QM9 = re.compile(r"\s*gdb\s+[0-9]+\s.*")
_QM9_TAIL = 3  #: frequencies, SMILES, InChI


def is_count(line: str) -> bool:
    return _COUNT.fullmatch(line) is not None


def xyz(lines: list[str]) -> Draft:
    """Parse lines that begin with a count."""
    head = _COUNT.fullmatch(lines[0])
    count = int(head[1]) if head else 0
    comment = lines[1]
    atoms = [line for line in lines[2 : 2 + count] if line.strip()]
    rest = [line for line in lines[2 + count :] if line.strip()]
    _check_comment(comment)
    if len(atoms) == count and rest and is_count(rest[0]):
        raise InputError("molecule", "contains several XYZ geometries", "Give one of them")
    if len(atoms) == count and _QM9.fullmatch(comment) and len(rest) == _QM9_TAIL:
        rest = []
    if len(atoms) != count or rest or not count:
        raise InputError(
            "molecule",
            f"the XYZ header {lines[0].strip()!r} announces {count} atoms, but {len(atoms) + len(rest)} follow",
            "Correct the first line; the second line of an XYZ file is a comment",
        )
    rows = [row(line) for line in atoms]
    properties = _PROPERTIES.search(comment)
    if properties:
        rows = _by_properties(properties[1].strip("\"'"), rows)
    else:
        refuse_in_xyz(rows)
        rows = [Row(one.line, one.words[:4]) for one in rows]
    behind_count = unit_line(f"units={head[2]}") if head and head[2] else None
    return Draft(rows, bohr=agreed([behind_count, unit_of_comment(comment)]))


def _check_comment(comment: str) -> None:
    words = re.split(r"[\s,]+", comment.strip())
    if len(words) == 4 and element(words[0]) and all(map(is_number, words[1:])):
        raise InputError(
            "molecule",
            f"the second line of an XYZ file is a comment, but {quoted(comment)} is an atom",
            "Insert a comment line, which may be empty",
        )
    if _LATTICE.search(comment) and not _OPEN.search(comment):
        raise InputError(
            "molecule",
            "the extended XYZ file has a Lattice, so it is a crystal",
            'Give a molecule; if it is one, remove the Lattice or write pbc="F F F"',
        )


def _by_properties(properties: str, rows: list[Row]) -> list[Row]:
    """Return rows of symbol x y z from rows whose columns are described by repeated name:type:count."""
    words = properties.split(":")
    names, counts = [name.lower() for name in words[::3]], words[2::3]
    if len(words) % 3 or not all(re.fullmatch("[1-9][0-9]?", one) for one in counts):
        raise InputError(
            "molecule", f"Properties={quoted(properties)} is not valid in an extended XYZ file", "Write name:type:count"
        )
    sizes = [int(one) for one in counts]
    begins = {name: sum(sizes[:n]) for n, name in enumerate(names)}
    symbols = next((begins[name] for name in ("species", "element", "z") if name in begins), None)
    places = begins.get("pos")
    if symbols is None or places is None or sizes[names.index("pos")] != 3:
        raise InputError("molecule", f"Properties={quoted(properties)} lacks species or pos:R:3", "Give both")
    for one in rows:
        if len(one.words) != sum(sizes):
            raise InputError(
                "molecule",
                f"the line {quoted(one.line)} has {len(one.words)} columns, but Properties describes {sum(sizes)}",
                "Correct one of them",
            )
    return [Row(one.line, [one.words[symbols], *one.words[places : places + 3]]) for one in rows]
