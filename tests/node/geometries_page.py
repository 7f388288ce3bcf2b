"""The page of geometries, from the list that the tests carry through.

python -m tests.node.geometries_page --write
"""

from __future__ import annotations

import sys
from pathlib import Path

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry import parse_geometry
from tests.node.geometries import CASES, Case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "geometries.md"
_LONGEST = 90  # characters of a text in its cell
_HEAD = """# Geometries as people have them

What the parameter `molecule` takes. A geometry is read as its format means it, or refused in one line that names the
format and says what to give instead; it is never guessed at. Each row is carried through by
`tests/node/test_geometry.py`. Written by `python -m tests.node.geometries_page --write`; a test compares it with the
list.

Three rules:

- Atoms are `symbol x y z` or a Z-matrix, in Angstrom. Columns behind z are passed over only in an XYZ file, with its
  count line and its comment line; elsewhere a table with more columns is read with its heading only.
- Bohr is converted (1 Bohr = 0.52917721092 Angstrom, PySCF's) where it is said of the coordinates: by the format, in a
  heading, by `units=bohr`, by a comment that says nothing else. A comment that says it beside other things is refused.
- Charge and multiplicity in another program's input must be those of the parameters `charge` and `spin`.

Nothing of a text is evaluated: Z-matrices are given to PySCF as numbers. In the texts below / parts lines; coordinates
that were read are in Angstrom.
"""


def as_markdown() -> str:
    lines = [_HEAD]
    for title, cases in CASES.items():
        lines += [f"## {title}", "", "| what | text | what becomes of it |", "|--|--|--|"]
        lines += [f"| {case.name} | `{_shown(case.text)}` | {_cell(_outcome(case))} |" for case in cases]
        lines.append("")
    return "\n".join(lines)


def _outcome(case: Case) -> str:
    try:
        geometry = parse_geometry(case.text)
    except InputError as error:
        return str(error)
    told = "" if geometry.charge is None else f"; charge {geometry.charge}, multiplicity {geometry.multiplicity}"
    atoms = "; ".join(
        " ".join([element, *(f"{one:.4g}" for one in xyz)])
        for element, (_, xyz) in zip(geometry.elements, geometry.atoms, strict=True)
    )
    return f"read: {atoms}{told}{case.page}"


def _shown(text: str) -> str:
    told = " / ".join(" ".join(line.split()) for line in text.splitlines())
    told = told if len(told) <= _LONGEST else f"{told[: _LONGEST - 3]}..."
    return told.replace("\ufeff", "(U+FEFF)").replace("|", "\\|").replace("`", "'")


def _cell(text: str) -> str:
    return "".join("\\" + one if one in "|*_<[" else one for one in text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(as_markdown())
    else:
        sys.stdout.write(as_markdown())
