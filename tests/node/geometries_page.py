"""Generate docs/geometries.md from the cases of the tests.

python -m tests.node.geometries_page --write
"""

from __future__ import annotations

import sys
from pathlib import Path

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry import parse_geometry
from tests.node.geometries import CASES, Case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "geometries.md"
_LONGEST = 90  # characters of a text in a table cell
_HEAD = """# Molecular geometries

Formats of the parameter `molecule`. A geometry is parsed as its format defines it, or refused with one line that names
the format and the remedy; there is no guessing. Each row is tested by `tests/node/test_geometry.py`. This page is
written by `python -m tests.node.geometries_page --write`; a test compares it with the list.

Three rules:

- Atoms are `symbol x y z` or a Z-matrix, in Angstrom. Columns after z are ignored only in an XYZ file, with its count
  line and its comment line; elsewhere a table with more columns needs its heading.
- Bohr is converted (1 Bohr = 0.52917721092 Angstrom, as in PySCF) if it is stated for the coordinates: by the format,
  in a heading, by `units=bohr`, or by a comment that states nothing else. A comment that mentions it among other things
  is refused.
- Charge and multiplicity in another program's input must agree with the parameters `charge` and `spin`.

No text is evaluated: Z-matrices are passed to PySCF as numbers. In the texts below, / separates lines; the coordinates
read are in Angstrom.
"""


def as_markdown() -> str:
    lines = [_HEAD]
    for title, cases in CASES.items():
        lines += [f"## {title}", "", "| input | text | result |", "|--|--|--|"]
        lines += [f"| {case.name} | `{_shown(case.text)}` | {_cell(_outcome(case))} |" for case in cases]
        lines.append("")
    return "\n".join(lines)


def _outcome(case: Case) -> str:
    try:
        geometry = parse_geometry(case.text)
    except InputError as error:
        return str(error)
    charge = "" if geometry.charge is None else f"; charge {geometry.charge}, multiplicity {geometry.multiplicity}"
    atoms = "; ".join(
        " ".join([element, *(f"{one:.4g}" for one in xyz)])
        for element, (_, xyz) in zip(geometry.elements, geometry.atoms, strict=True)
    )
    return f"read: {atoms}{charge}{case.page}"


def _shown(text: str) -> str:
    shown = " / ".join(" ".join(line.split()) for line in text.splitlines())
    shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."
    return shown.replace("\ufeff", "(U+FEFF)").replace("|", "\\|").replace("`", "'")


def _cell(text: str) -> str:
    return "".join("\\" + one if one in "|*_<[" else one for one in text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(as_markdown())
    else:
        sys.stdout.write(as_markdown())
