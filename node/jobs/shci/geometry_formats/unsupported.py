"""Known formats that are not supported: refused by name, with a remedy."""

from __future__ import annotations

import re

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.geometry_formats.tokens import quoted

_XYZ = "Give an XYZ file"
_CRYSTAL = "Crystals are not supported: give a molecule, as an XYZ file"
_N = r"\s+[-+]?[0-9]*\.?[0-9]+"
# Pattern of the line's beginning, the format, the remedy.
_LINES = [
    (r"\s*(?:data_|loop_|_atom_site|_cell_)", "is of a CIF", _CRYSTAL),
    (r".*\bV[23]000\s*$", "is of an MDL file (mol, sdf)", _XYZ),
    (r"\s*@<TRIPOS>", "is of a mol2 file", _XYZ),
    (r"\s*\$data\b", "is of a GAMESS input", "Give its atoms as symbol x y z in Angstrom, without the nuclear charges"),
    (r"\s*(?:direct|cartesian|selective dynamics)\s*$", "is of a VASP file", _CRYSTAL),
    (r"\s*atomic_positions\b", "is of a Quantum ESPRESSO input", _CRYSTAL),
    (r"\s*&coord\b", "is of a CP2K input", "Give its atoms as symbol x y z in Angstrom"),
    (rf"\s*(?:atom|atom_frac|lattice_vector)(?:{_N}){{3}}", "is of an FHI-aims input", "Give symbol x y z in Angstrom"),
    (r"\s*(?:atomtypes\s*=|charge\s*=\s*[0-9.]+\s+atoms\s*=)", "is of a Dalton input, which is in Bohr", _XYZ),
    (r"\s*atoms(?:\s+cartesian)?\s*$", "is of an ADF input", "Give its atoms as symbol x y z in Angstrom"),
    (r"\s*%coords\b", "is of an ORCA input with %coords", "Give the atoms from * xyz charge multiplicity to *"),
    (r"\s*[{\[]\s*(?:[\"{\[]|$)", "is of a JSON file", _XYZ),
    (
        r"\s*(?:import\s|from\s+\w+\s+import\b|[\w.]*\s*=\s*\w*\.M\(|[\w.]*atom\s*=)",
        "is Python",
        "Give only the atoms",
    ),
    (r"\s*InChI=", "is an InChI, which has no coordinates", _XYZ),
    (
        r"\s*[\w./\\~:+-]+\.(?:xyz|pdb|mol|sdf|cif|gjf|com|log|out|inp|zmat)\s*$",
        "is a file's name",
        "Give its text",
    ),
]
_PATTERNS = [(re.compile(pattern, re.I), name, remedy) for pattern, name, remedy in _LINES]


def refuse_formats(lines: list[str]) -> None:
    for line in lines:
        for pattern, name, remedy in _PATTERNS:
            if pattern.match(line):
                raise InputError("molecule", f"the line {quoted(line)} {name}", remedy)
