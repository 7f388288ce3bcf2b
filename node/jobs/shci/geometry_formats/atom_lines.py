"""Parse lines of atoms in PySCF's syntax, with the variables of a Z-matrix and the length unit."""

from __future__ import annotations

import re

from spotwave.node.jobs.shci.geometry_formats.length_units import agreed, unit_line, unit_of_comment
from spotwave.node.jobs.shci.geometry_formats.tokens import Draft, Row, row

_HEADING = re.compile(r"\s*(?:variables|constants)\s*:?\s*", re.I)


def pieces(text: str) -> list[str]:
    """Split a text into lines, also at semicolons, since the UI's form allows only one line."""
    return [piece for line in text.splitlines() for piece in line.split(";")]


def plain(lines: list[str], comments: str = "#") -> Draft:
    rows: list[Row] = []
    variables: list[Row] = []
    units: list[bool | None] = []
    behind = blank = False
    for line in lines:
        content, _, comment = _cut(line, comments)
        units.append(unit_of_comment(comment))
        unit = unit_line(content)
        if not content.strip():
            blank = blank or not comment
        elif unit is not None:
            units.append(unit)
        elif _HEADING.fullmatch(content):
            behind = True
        else:
            found = row(content)
            behind = behind or ("=" in content and bool(rows)) or _begins_variables(rows, found, blank)
            (variables if behind else rows).append(found)
    return Draft(rows, variables, bohr=agreed(units))


def _cut(line: str, comments: str) -> tuple[str, str, str]:
    match = re.search(f"[{comments}]", line)
    return (line[: match.start()], match[0], line[match.end() :]) if match else (line, "", "")


def _begins_variables(rows: list[Row], found: Row, blank: bool) -> bool:
    """Return whether `r 1.0` after a blank line begins the variables: no atom of a Z-matrix has two words."""
    return blank and bool(rows) and len(rows[0].words) == 1 and len(found.words) == 2
