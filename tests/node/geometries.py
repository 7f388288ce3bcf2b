"""Common geometry formats and the result of parsing each; docs/geometries.md is generated from this list."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

Atoms = list[tuple[str, float, float, float]]

BOHR = 0.52917721092  # Angstrom, CODATA 2010: PySCF's
WATER: Atoms = [("O", 0.0, 0.0, 0.119), ("H", 0.0, 0.763, -0.477), ("H", 0.0, -0.763, -0.477)]
IN_BOHR: Atoms = [
    ("O", 0.0, 0.0, 0.225 * BOHR),
    ("H", 0.0, 1.442 * BOHR, -0.901 * BOHR),
    ("H", 0.0, -1.442 * BOHR, -0.901 * BOHR),
]
# O at the origin, one H on the x axis, the other at 104.5 degrees in the xz plane.
BENT: Atoms = [
    ("O", 0.0, 0.0, 0.0),
    ("H", 0.96, 0.0, 0.0),
    ("H", 0.96 * cos(radians(104.5)), 0.0, 0.96 * sin(radians(104.5))),
]
CO: Atoms = [("C", 0.0, 0.0, 0.0), ("O", 0.0, 0.0, 1.128)]

ROWS = "O 0.0 0.0 0.119\nH 0.0 0.763 -0.477\nH 0.0 -0.763 -0.477"
BOHRS = "O 0.0 0.0 0.225\nH 0.0 1.442 -0.901\nH 0.0 -1.442 -0.901"


@dataclass(frozen=True)
class Case:
    """A text, and either the parsed atoms or parts of the error message."""

    name: str
    text: str
    atoms: Atoms | None = None  #: in Angstrom
    refused: tuple[str, ...] = ()
    charge: int | None = None
    multiplicity: int | None = None
    page: str = ""  #: remark on the page next to the atoms


def _pdb(first: str = "O", element: str = "O", occupancy: str = "1.00", place: str = " ") -> str:
    rows = [(first, element, 0.0, 0.119), ("H1", "H", 0.763, -0.477), ("H2", "H", -0.763, -0.477)]
    return "\n".join(
        [
            "REMARK a water",
            *(
                f"HETATM{n + 1:5d}  {name:<3}{place if n == 0 else ' '}HOH A   1    {0.0:8.3f}{y:8.3f}{z:8.3f}"
                f"{occupancy if n == 0 else '1.00':>6}{0.0:6.2f}          {symbol:>2}"
                for n, (name, symbol, y, z) in enumerate(rows)
            ),
            "END",
        ]
    )


GAUSSIAN_HEAD = """                         Standard orientation:
 ---------------------------------------------------------------------
 Center     Atomic      Atomic             Coordinates (Angstroms)
 Number     Number       Type             X           Y           Z
 ---------------------------------------------------------------------
"""
GAUSSIAN_ROWS = "1 8 0 0.0 0.0 0.119\n2 1 0 0.0 0.763 -0.477\n3 1 0 0.0 -0.763 -0.477"
GAMESS_ROWS = "O 8.0 0.0 0.0 0.119\nH 1.0 0.0 0.763 -0.477\nH 1.0 0.0 -0.763 -0.477"
GAMESS_BOHRS = "O 8.0 0.0 0.0 0.225\nH 1.0 0.0 1.442 -0.901\nH 1.0 0.0 -1.442 -0.901"
GAMESS_HEAD = " ATOM      ATOMIC                      COORDINATES (BOHR)\n           CHARGE         X     Y     Z\n"
ZMATRIX = "O\nH 1 r\nH 1 r 2 a"
OURS = [
    Case("XYZ file", f"3\nwater\n{ROWS}", WATER),
    Case("XYZ file with an empty comment and columns after the coordinates",
         "3\n\nO 0.0 0.0 0.119 -0.8 forces\nH 0.0 0.763 -0.477 0.4\nH 0.0 -0.763 -0.477 0.4 0 0 1", WATER),
    Case("PySCF, lines", ROWS, WATER),
    Case("PySCF, semicolons", ROWS.replace("\n", "; "), WATER),
    Case("PySCF, commas, comments, blank lines",
         "# water\nO, 0.0, 0.0, 0.119 # oxygen\n\nH,0.0,.763,-.477\nH 0 -.763 -.477,",
         WATER),
    Case("labels", "O1 0.0 0.0 0.119\nH_2 0.0 0.763 -0.477\nH@3 0.0 -0.763 -0.477", WATER),
    Case("labels with letters", "O1a 0.0 0.0 0.119\nH2b 0.0 0.763 -0.477\nH2c 0.0 -0.763 -0.477", WATER),
    Case("atomic numbers", "8 0.0 0.0 0.119\n1 0.0 0.763 -0.477\n1 0.0 -0.763 -0.477", WATER),
    Case("atomic numbers 1, 2, 3", "1 0 0 0\n2 0 0 1\n3 0 0 3", refused=("begin with 1 to 3", "Write symbols")),
    Case("helium hydride by atomic numbers", "1 0 0 0; 2 0 0 0.77", [("H", 0, 0, 0), ("He", 0, 0, 0.77)]),
    Case("Z-matrix with numbers", "O; H 1 0.96; H 1 0.96 2 104.5", BENT),
]  # fmt: skip
XYZ = [
    Case("XYZ file without its comment line", f"2\n{ROWS}", refused=("second line of an XYZ file is a comment",)),
    Case("XYZ file, wrong count", f"4\nwater\n{ROWS}", refused=("announces 4 atoms, but 3 follow",)),
    Case("XYZ file, several geometries", f"3\na\n{ROWS}\n3\nb\n{ROWS}", refused=("several XYZ geometries",)),
    Case("extended XYZ", '3\nProperties=species:S:1:pos:R:3:forces:R:3 pbc="F F F"\n'
         "O 0.0 0.0 0.119 1 2 3\nH 0.0 0.763 -0.477 1 2 3\nH 0.0 -0.763 -0.477 1 2 3", WATER),
    Case("extended XYZ, other order", '3\nProperties="id:I:1:forces:R:3:pos:R:3:species:S:1"\n'
         "1 9 9 9 0.0 0.0 0.119 O\n2 9 9 9 0.0 0.763 -0.477 H\n3 9 9 9 0.0 -0.763 -0.477 H", WATER),
    Case("extended XYZ, by atomic numbers", "1\nProperties=Z:I:1:pos:R:3\n2 0 0 1", [("He", 0, 0, 1)]),
    Case("extended XYZ, a column missing", "1\nProperties=species:S:1:pos:R:3:q:R:1\nHe 0 0 1",
         refused=("has 4 columns, but Properties describes 5",)),
    Case("extended XYZ without positions", "1\nProperties=species:S:1:forces:R:3\nHe 0 0 1", refused=("or pos:R:3",)),
    Case("extended XYZ of a crystal", '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nHe 0 0 1',
         refused=("Lattice", "crystal")),
    Case("extended XYZ of a molecule in a box", '1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 '
         'pbc="F F F"\nHe 0 0 1', [("He", 0, 0, 1)]),
    Case("QM9, with `*^` exponents and additional lines",
         "2\ngdb 9\t1.5 2.5\nC 0.0 0.0 0.0 -0.1\nO\t1.0*^-6\t-2.*^-6\t1.128\t0.1\n2170.1\nC#O\tC#O\n"
         "InChI=1S/CO\tInChI=1S/CO",
         [("C", 0, 0, 0), ("O", 1e-6, -2e-6, 1.128)]),
    Case("GAMESS's columns under an XYZ file's header", f"3\nwater\n{GAMESS_ROWS}", refused=("GAMESS", "charges")),
    Case("freeze codes under an XYZ file's header", "2\nCO\nC 0 0.0 0.0 0.0\nO -1 0.0 0.0 1.128",
         refused=("Gaussian input with a freeze code",)),
    Case("Gaussian's table under an XYZ file's header", f"3\nwater\n{GAUSSIAN_ROWS}",
         refused=("Gaussian's orientation table",)),
]  # fmt: skip
UNITS = [
    Case("comment of an XYZ file: bohr", f"3\nbohr\n{BOHRS}", IN_BOHR),
    Case("comment: Coordinates in a.u.", f"3\nCoordinates in a.u.\n{BOHRS}", IN_BOHR),
    Case("comment: (atomic units)", f"3\n(atomic units)\n{BOHRS}", IN_BOHR),
    Case("comment: ... units=bohr ...", f"3\nwater units=bohr energy=-76.0\n{BOHRS}", IN_BOHR),
    Case("comment: ... units=angstrom ...", f"3\nwater units=angstrom E = -76.0 a.u.\n{ROWS}", WATER),
    Case("comment in which a.u. may refer to the energy", f"3\nE = -76.0 a.u.\n{BOHRS}",
         refused=("mentions 'a.u.'", "units=bohr or units=angstrom")),
    Case("comment with Bohr among other text", f"3\nconverted from Bohr\n{ROWS}", refused=("mentions 'Bohr'",)),
    Case("comment that mentions gold", "2\nAu dimer\nAu 0 0 0\nAu 0 0 2.47", [("Au", 0, 0, 0), ("Au", 0, 0, 2.47)]),
    Case("unit after the count", f"3 bohr\nwater\n{BOHRS}", IN_BOHR),
    Case("a line `units bohr`", f"units bohr\n{BOHRS}", IN_BOHR),
    Case("a line `unit = 'B'`", f"{BOHRS}\nunit = 'B'", IN_BOHR),
    Case("a line `Bohr`", f"Bohr; {BOHRS}".replace("\n", ";"), IN_BOHR),
    Case("a comment `# in Bohr`", f"# in Bohr\n{BOHRS}", IN_BOHR),
    Case("a comment `# from Bohr`", f"# from Bohr\n{ROWS}", refused=("mentions 'Bohr'",)),
    Case("comment with another unit", "1\nunits=nm\nHe 0 0 0.1", refused=("mentions 'units=nm'",)),
    Case("comment in nm", "1\nhelium, in nm\nHe 0 0 0.1", refused=("mentions 'nm'",)),
    Case("a line `units=nm`", "units=nm\nHe 0 0 0.1", refused=("unknown element 'units=nm'",)),
    Case("both units", f"units bohr\n{ROWS}\nunits angstrom", refused=("both Bohr and Angstrom",)),
    Case("Z-matrix in Bohr", "units=au\nC\nO 1 2.0", [("C", 0, 0, 0), ("O", 2 * BOHR, 0, 0)]),
]  # fmt: skip
PROGRAMS = [
    Case("Gaussian input", f"%mem=1GB\n#p hf/sto-3g\nopt\n\nwater\n\n0 1\n{ROWS}\n\n1 2 1.0", WATER, charge=0,
         multiplicity=1),
    Case("Gaussian input in Bohr", f"# hf/sto-3g units=(au,deg)\n\nwater\n\n0 1\n{BOHRS}\n", IN_BOHR, charge=0,
         multiplicity=1),
    Case("Gaussian input whose title states Bohr", f"# hf/sto-3g\n\nin Bohr\n\n0 1\n{BOHRS}\n", refused=("route",)),
    Case("Gaussian input, freeze codes", "0 1\nC 0 0.0 0.0 0.0\nO -1 0.0 0.0 1.128", CO, charge=0, multiplicity=1),
    Case("Gaussian input, Z-matrix", "-1,2\nO\nH 1 0.96\nH 1 0.96 2 104.5", BENT, charge=-1, multiplicity=2),
    Case("Gaussian input, radians", f"# hf units=rad\n\nwater\n\n0 1\n{ROWS}\n", refused=("Gaussian", "radians")),
    Case("charge and multiplicity before the atoms", f"1 2; {ROWS}".replace("\n", ";"), WATER, charge=1,
         multiplicity=2),
    Case("freeze codes only", "C 0 0.0 0.0 0.0\nO -1 0.0 0.0 1.128", refused=("Gaussian input", "freeze code")),
    Case("Gaussian's orientation table", f"{GAUSSIAN_HEAD}{GAUSSIAN_ROWS}\n --------------", WATER),
    Case("Gaussian's orientation table, old form", GAUSSIAN_HEAD.replace("Atomic      Atomic ", "Atomic  ")
         + "1 8 0.0 0.0 0.119\n2 1 0.0 0.763 -0.477\n3 1 0.0 -0.763 -0.477", WATER),
    Case("Gaussian's orientation tables, two",
         f"{GAUSSIAN_HEAD}{GAUSSIAN_ROWS}\n -----\n{GAUSSIAN_HEAD}{GAUSSIAN_ROWS}",
         refused=("several tables of Gaussian",)),
    Case("rows of Gaussian's orientation table", GAUSSIAN_ROWS, refused=("Gaussian's orientation table", "heading")),
    Case("the same without type", "1 8 0.0 0.0 0.119\n2 1 0.0 0.763 -0.477\n3 1 0.0 -0.763 -0.477",
         refused=("Gaussian's orientation table", "symbol x y z")),
    Case("GAMESS's table in Bohr", GAMESS_HEAD + GAMESS_BOHRS, IN_BOHR),
    Case("GAMESS's table in Angstrom",
         f" COORDINATES OF ALL ATOMS ARE (ANGS)\n   ATOM   CHARGE       X   Y   Z\n ---------\n{GAMESS_ROWS}\n", WATER),
    Case("rows of GAMESS", GAMESS_ROWS, refused=("GAMESS", "Bohr", "heading")),
    Case("GAMESS input", f" $DATA\nwater\nC1\n{GAMESS_ROWS}\n $END", refused=("a GAMESS input",)),
    Case("ORCA input", f"! HF def2-SVP\n* xyz 0 1\n{ROWS}\n*", WATER, charge=0, multiplicity=1),
    Case("ORCA input in Bohr", f"! HF def2-SVP Bohrs\n*xyz -1 2\n{BOHRS}\n*", IN_BOHR, charge=-1, multiplicity=2),
    Case("ORCA input with a Z-matrix as in Gaussian", "* gzmt 0 1\nO\nH 1 0.96\nH 1 0.96 2 104.5\n*", BENT,
         charge=0, multiplicity=1),
    Case("ORCA input, truncated", f"* xyz 0 1\n{ROWS}", refused=("ORCA", "missing")),
    Case("ORCA input with internal coordinates", "* int 0 1\nO 0 0 0 0.0 0.0 0.0\n*", refused=("ORCA", "* xyz")),
    Case("ORCA input that names a file", "* xyzfile 0 1 water.xyz", refused=("ORCA",)),
    Case("ORCA input with %coords", f"%coords\nCTyp xyz\ncoords\n{ROWS}\nend\nend", refused=("%coords",)),
    Case("ORCA input with a ghost", "* xyz 0 1\nHe 0 0 0\nHe: 0 0 3\n*", refused=("'He:'", "ghost or dummy")),
    Case("Molpro, with an XYZ file's header", f"geometry={{\n3\nwater\n{ROWS}\n}}", WATER),
    Case("Molpro in Angstrom", "angstrom; geometry={ O,,0.0,0.0,0.119; H1,,0.0,0.763,-0.477; H2,,0.0,-0.763,-0.477 }",
         WATER),
    Case("Molpro in Bohr", f"geometry={{nosym\nbohr\n{BOHRS}}}", IN_BOHR),
    Case("Molpro without a unit", f"geometry={{\n{ROWS}\n}}", refused=("Molpro", "bohr or angstrom")),
    Case("Molpro that names a file", "geometry=water.xyz", refused=("names a file",)),
    Case("Q-Chem input", f"$molecule\n0 1\n{ROWS}\n$end\n$rem\nmethod hf\n$end", WATER, charge=0, multiplicity=1),
    Case("Q-Chem input in Bohr", f"$molecule\n0 1\n{BOHRS}\n$end\n$rem\nINPUT_BOHR true\n$end", IN_BOHR, charge=0,
         multiplicity=1),
    Case("Q-Chem input with fragments", "$molecule\n0 1\n--\n0 1\nHe 0 0 0\n--\n0 1\nHe 0 0 3\n$end",
         refused=("Q-Chem", "fragments")),
    Case("Q-Chem input of another job", "$molecule\nread\n$end", refused=("Q-Chem", "charge and multiplicity")),
    Case("Psi4 input", f"molecule h2o {{\n0 1\n{BOHRS}\nunits bohr\nno_com\nsymmetry c1\n}}\nset basis sto-3g",
         IN_BOHR, charge=0, multiplicity=1),
    Case("NWChem input", f"geometry units angstroms noautosym\n{ROWS}\nend\nbasis\nend", WATER),
    Case("NWChem input in Bohr", f'geometry "w" units au\n symmetry c1\n{BOHRS}\nend', IN_BOHR),
    Case("NWChem input in picometre", "geometry units pm\nHe 0 0 1\nend", refused=("unit",)),
    Case("Turbomole, in Bohr", "$coord\n0.0 0.0 0.225 o\n0.0 1.442 -0.901 h\n0.0 -1.442 -0.901 h f\n$end", IN_BOHR),
    Case("Turbomole, in Angstrom", "$coord angs natoms=1\n0.0 0.0 1.0 he\n$user-defined bonds\n$end",
         [("He", 0, 0, 1)]),
    Case("Turbomole, fractions", "$coord frac\n0.0 0.0 0.1 o\n$end", refused=("$coord or $coord angs",)),
    Case("Turbomole, truncated", "$coord\n0.0 0.0 0.225 o", refused=("Turbomole", "$end")),
    Case("Turbomole, a crystal", "$coord\n0 0 0 o\n$periodic 3\n$end", refused=("Turbomole", "crystal")),
    Case("rows of Turbomole", "0.0 0.0 0.225 o\n0.0 1.442 -0.901 h", refused=("Turbomole", "Bohr", "$coord")),
    Case("Molden file, AU", "[Molden Format]\n[Atoms] AU\nO 1 8 0.0 0.0 0.225\n"
         "H 2 1 0.0 1.442 -0.901\nH 3 1 0.0 -1.442 -0.901\n[GTO]\n 1 0",
         IN_BOHR),
    Case("Molden file, Angs", "[ATOMS] (Angs)\nO 1 8 0.0 0.0 0.119\nH 2 1 0.0 0.763 -0.477\nH 3 1 0.0 -0.763 -0.477",
         WATER),
    Case("Molden file without a unit", "[Atoms]\nO 1 8 0.0 0.0 0.225", refused=("Molden", "AU or [Atoms] Angs")),
    Case("Molden file with a ghost", "[Atoms] AU\nO 1 8 0 0 0\nH 2 0 0 0 2.0", refused=("nuclear charge 0",)),
    Case("rows of a Molden file", "O 1 8 0.0 0.0 0.119\nH 2 1 0.0 0.763 -0.477", refused=("Molden", "[Atoms]")),
    Case("PDB file", _pdb(), WATER),
    Case("PDB file without elements", _pdb(first="CA", element=""), refused=("PDB", "no element")),
    Case("PDB file, two positions of an atom", _pdb(occupancy="0.50", place="A"), refused=("PDB", "several positions")),
    Case("PDB file without fixed columns", "ATOM 1 O HOH A 1 0.0 0.0 0.119 1.00 0.00 O", refused=("PDB", "31-54")),
    Case("CIF", "data_water\nloop_\n_atom_site_label\n_atom_site_fract_x\nO1 0.1 0.2 0.3", refused=("a CIF", "XYZ")),
    Case("rows of a CIF", "O1 O 0.1234 0.2345 0.3456\nH1A H 0.1 0.2 0.4", refused=("CIF", "fractions")),
    Case("rows of a CIF with uncertainties", "O1 0.1234(5) 0.2345(6) 0.3456(7)", refused=("CIF", "fractions")),
    Case("numbered rows", "1 O 0.0 0.0 0.119\n2 H 0.0 0.763 -0.477", refused=("numbered table",)),
    Case("MOPAC's flags", "O 0.0 1 0.0 1 0.119 1\nH 0.0 1 0.763 1 -0.477 1", refused=("MOPAC", "flags")),
    Case("additional column", "O 0.0 0.0 0.119 -0.8\nH 0.0 0.763 -0.477 0.4", refused=("4 columns after", "XYZ file")),
    Case("MDL file (mol, sdf)", "962\n  -OEChem-\n\n  3  2  0  0999 V2000\n    0.0 0.0 0.1 O", refused=("MDL",)),
    Case("mol2 file", "@<TRIPOS>MOLECULE\nwater", refused=("mol2",)),
    Case("VASP file", "water\n1.0\n9 0 0\n0 9 0\n0 0 9\nO H\n1 2\nDirect\n0 0 0", refused=("VASP", "Crystals")),
    Case("Quantum ESPRESSO input", "ATOMIC_POSITIONS bohr\nO 0 0 0", refused=("Quantum ESPRESSO",)),
    Case("CP2K input", "&COORD\nO 0 0 0\n&END", refused=("CP2K",)),
    Case("FHI-aims input", "atom 0.0 0.0 0.119 O\natom 0.0 0.763 -0.477 H", refused=("FHI-aims",)),
    Case("Dalton input", "BASIS\nSTO-3G\nwater\n\nAtomtypes=2\nCharge=8.0 Atoms=1\nO 0 0 0",
         refused=("Dalton", "Bohr")),
    Case("ADF input", "ATOMS\nO 0 0 0\nEND", refused=("ADF",)),
    Case("JSON", '{"symbols": ["O"], "geometry": [0, 0, 0]}', refused=("JSON",)),
    Case("Python", "mol = gto.M(atom='O 0 0 0')", refused=("Python",)),
    Case("InChI", "InChI=1S/H2O/h1H2", refused=("InChI",)),
    Case("a file's name", "./water.xyz", refused=("a file's name", "its text")),
]  # fmt: skip
ODDITIES = [
    Case("Fortran exponents", "He 1.0D+00 -2.5d-1 .5E0", [("He", 1.0, -0.25, 0.5)]),
    Case("byte order mark", f"\ufeff3\nwater\n{ROWS}", WATER),
    Case("byte order mark before PySCF's lines", f"\ufeff{ROWS}", WATER),
    Case("the minus U+2212", ROWS.replace("-", "\u2212"), WATER),
    Case("a dash instead of a minus", ROWS.replace("-", "\u2013"), refused=("a dash", "minus as -")),
    Case("line ends of Windows", f"3\r\nwater\r\n{ROWS}\r\n".replace("\n\r", "\r"), WATER),
    Case("decimal commas", "O 0,0 0,0 0,119\nH 0,0 0,763 -0,477", refused=("decimal commas",)),
    Case("decimal commas in an XYZ file", "1\nhelium\nHe 0,5 0,25 1,75", refused=("decimal commas",)),
    Case("digits with underscores", "He 0 0 1_0", refused=("'1_0' is not a number",)),
    Case("deuterium and tritium", "D 0 0 0\nT 0 0 0.74", [("H", 0, 0, 0), ("H", 0, 0, 0.74)],
         page="; the energy at fixed nuclei is that of H"),
    Case("Z-matrix, variables after a blank line", f"{ZMATRIX}\n\nr 0.96\na 104.5", BENT),
    Case("Z-matrix, variables with =", f"{ZMATRIX}\n\nr = 0.96\na=104.5", BENT),
    Case("Z-matrix, variables on one line", "O; H 1 r; H 1 r 2 a; r=0.96; a=104.5", BENT),
    Case("Z-matrix, `Variables:` and `Constants:`", f"{ZMATRIX}\nVariables:\nr 0.96\nConstants:\na 104.5", BENT),
    Case("Z-matrix, a variable with a sign", "O\nO 1 1.4\nH 1 1. 2 100.\nH 2 1. 1 100. 3 -d\n\nd=-90.0",
         [("O", 0, 0, 0), ("O", 1.4, 0, 0), ("H", -0.17364818, 0, 0.98480775), ("H", 1.57364818, -0.98480775, 0)]),
    Case("Z-matrix, references by label", "O1\nH2 O1 0.96\nH3 O1 0.96 H2 104.5", BENT),
    Case("Z-matrix, a variable without a value", "O\nH 1 r", refused=("'r' in the line", "name = number")),
    Case("Z-matrix, a variable given twice", "O\nH 1 r\n\nr=1\nr=2", refused=("two values",)),
    Case("Z-matrix, an unused variable", "O\n\nH 1", refused=("no line of the Z-matrix uses", "'H'")),
    Case("Z-matrix, a value that is a formula", "O\nH 1 r\n\nr=1+1", refused=("not assign a", "name = number")),
    Case("variables of Cartesian coordinates", "O 0 0 0\nH 0 0 z\nz=1", refused=("no Z-matrix",)),
    Case("Z-matrix with dummies", "C\nX 1 1.0\nO 1 1.2 2 90.0\nO 1 1.2 2 90.0 3 180.0",
         [("C", 0, 0, 0), ("O", 0, 0, 1.2), ("O", 0, 0, -1.2)]),
    Case("Z-matrix, a dihedral about a straight line", "C\nC 1 1.2\nH 1 1.06 2 180.\nH 2 1.06 1 120. 3 0.",
         refused=("dihedral angle", "lie on one line", "dummy atom X")),
    Case("Z-matrix, a negative distance", "O\nH 1 -0.96", refused=("distance", "not above 0")),
    Case("dummy in Cartesian coordinates", "O 0 0 0\nX 0 0 1", refused=("'X'", "ghost or dummy")),
    Case("ghosts of PySCF", "He 0 0 0\nGHOST-He 0 0 3", refused=("'GHOST-He'", "ghost or dummy")),
    Case("ghosts of PySCF, the short form", "He 0 0 0\nX-He 0 0 3", refused=("'X-He'", "ghost or dummy")),
    Case("ghosts of Q-Chem and Psi4", "He 0 0 0\n@He 0 0 3", refused=("'@He'", "ghost or dummy")),
    Case("ghosts of Gaussian and NWChem", "He 0 0 0\nHe-Bq 0 0 3", refused=("'He-Bq'", "ghost or dummy")),
    Case("a label that is a word", "H_ghost 0 0 0", refused=("unknown element 'H_ghost'",)),
    Case("a formula that is also an element's symbol", "CO", refused=("an element or as a formula", "Write Co")),
    Case("cobalt", "Co", [("Co", 0, 0, 0)]),
    Case("xenon, which begins with X", "Xe 0 0 0", [("Xe", 0, 0, 0)]),
    Case("Gaussian's translation vector", "He 0 0 0\nTv 0 0 3", refused=("crystal",)),
]  # fmt: skip
CASES = {
    "PySCF syntax": OURS,
    "XYZ files": XYZ,
    "Units": UNITS,
    "Other programs and formats": PROGRAMS,
    "Special cases": ODDITIES,
}
