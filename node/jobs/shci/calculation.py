"""The input of a heat-bath configuration interaction calculation, and whether it can be run.

The model carries no numeric bounds: the server would report them in its own words, long after the form was sent.
`check` looks at everything before anything is launched and says what to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pyscf import gto
from pyscf.data.elements import chemcore

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import Basis, Resolved, resolve, told
from spotwave.node.jobs.shci.command_program import CommandProgram, check_command
from spotwave.node.jobs.shci.geometry import Geometry, parse_geometry

__all__ = [
    "WATER_DIMER",
    "Basis",
    "Calculation",
    "CommandProgram",
    "InputError",
    "ProgramName",
    "Size",
    "build_molecule",
    "check",
]

ProgramName = Literal["pyci", "pyscf", "dice", "command"]

# On one line: the UI's form shows a text on one line only.
WATER_DIMER = (
    "O -1.551007 -0.114520 0.000000; H -1.934259 0.762503 0.000000; H -0.599677 0.040712 0.000000; "
    "O 1.350625 0.111469 0.000000; H 1.680398 -0.373741 -0.758561; H 1.680398 -0.373741 0.758561"
)

EPS1_RANGE = (1e-8, 0.1)
EPS2_RANGE = (1e-12, 0.1)
GIB = 1024**3
# Beside the solver: the run with PySCF and a molecule in hand (measured for the default job: 0.20 GiB), the agent, the
# worker, the system.
BASE_GIB = 0.5
# Of the solver itself, integrals aside. Measured for the default job with PyCI on two threads: 1.05 GiB resident, 1.24
# GiB of private memory, which is what the limit counts (node.jobs.shci.programs.memory_limit), nearly all of it in PT2;
# 0.21 GiB before. How much PT2 takes depends on eps2 and is not known before: a machine that is too small is
# followed by a bigger one. Assumed for the other programs.
SOLVER_GIB = {"pyci": 1.25, "dice": 1.25, "pyscf": 0.5, "command": 0.5}
_IDLE_GIB = 0.25
_DETERMINANT_BYTES = 128  # in PT2's table: two bit strings, a sum, and the table's own


def _is_false(value: bool) -> bool:
    return not value


class Calculation(BaseModel):
    """One SHCI calculation: molecule, orbital basis, program and its two thresholds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    molecule: str = Field(
        default=WATER_DIMER,
        title="Molecule",
        description="Geometry in Angstrom: the text of an XYZ file, or PySCF syntax such as "
        "'O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587' (a Z-matrix works too; so do other programs' inputs).",
        json_schema_extra={"position": 0},
    )
    charge: int = Field(default=0, title="Charge", description="Total charge in units of e.")
    spin: int = Field(
        default=0,
        title="Spin (2S)",
        description="Number of unpaired electrons, 2S: 0 singlet, 1 doublet, 2 triplet.",
    )
    basis: Basis = Field(
        default="6-31g",
        title="Basis set",
        description="A name that PySCF knows, e.g. sto-3g, 6-31g, cc-pvdz, aug-cc-pvdz, def2-svp, with its core "
        'potential where it has one; or one per element: {"Cu": "lanl2dz", "default": "6-31g"}. In the place of a '
        "name: the text of a file in NWChem's format.",
    )
    # Left out of what is stored where it is false: by that, jobs of before it was there are known again.
    cartesian: bool = Field(
        default=False,
        title="Cartesian functions",
        description="6 d and 10 f functions in the place of 5 and 7, as 6-31G* was made for in older work.",
        exclude_if=_is_false,
    )
    frozen_core: bool = Field(
        default=False,
        title="Frozen core",
        description="Keep core orbitals (1s of C, N, O, ...) doubly occupied: fewer orbitals and electrons in the CI.",
    )
    program: ProgramName = Field(
        default="pyci",
        title="SHCI program",
        description="pyci: heat-bath CI, installed with Spotwave (Linux). pyscf: PySCF's own selected CI, a stand-in "
        "where PyCI has no wheel. dice: the program Dice under mpirun, found on the machine. command: your own.",
    )
    eps1: float = Field(
        default=5e-4,
        title="eps1: variational threshold",
        description="Heat-bath selection: a determinant i enters when |H_ij c_j| > eps1 (Hartree) for some j in the "
        "wave function. Between 1e-8 and 0.1; smaller is better and dearer.",
    )
    eps2: float = Field(
        default=5e-6,
        title="eps2: perturbative threshold",
        description="Epstein-Nesbet PT2 leaves out contributions with |H_ij c_j| < eps2 (Hartree). Between 1e-12 and "
        "eps1.",
    )
    command: CommandProgram | None = Field(
        default=None, title="Own program", description="Needed when the SHCI program is 'command'."
    )
    keep_fcidump: bool = Field(
        default=False,
        title="Keep FCIDUMP",
        description="Copy the integral file to the results too (about 35 bytes x n^4/8: 170 MB for 82 orbitals).",
    )


@dataclass(frozen=True)
class Size:
    """How big a calculation is, from its input alone."""

    n_atoms: int
    n_orbitals: int  #: spatial orbitals = AO basis functions
    n_electrons: int  #: all electrons that are not in an effective core potential
    n_frozen: int  #: doubly occupied core orbitals left out of the CI
    n_correlated_orbitals: int
    integrals_gib: float  #: 8 bytes x n^4/8 for the correlated orbitals
    memory_gib: float  #: estimated peak of the whole machine; `memory_needed` says how

    @property
    def n_correlated_electrons(self) -> int:
        return self.n_electrons - 2 * self.n_frozen


def check(calculation: Calculation) -> Size:
    """Everything that can be known to be wrong before a machine is rented; computes no integrals, writes nothing.

    Raises InputError, one clear line, for the first thing found.
    """
    _check_thresholds(calculation)
    _check_program(calculation)
    geometry = parse_geometry(calculation.molecule)
    _check_said(calculation, geometry)
    _check_spin(calculation, geometry, resolve(calculation.basis, geometry.elements, cartesian=calculation.cartesian))
    mol = build_molecule(calculation)
    return _size(calculation, mol)


def build_molecule(calculation: Calculation) -> gto.Mole:
    """The molecule as PySCF sees it, C1 symmetry, with the ECP that belongs to the basis where there is one.

    Raises InputError for a geometry or a basis set that cannot be read.
    """
    geometry = parse_geometry(calculation.molecule)
    found = resolve(calculation.basis, geometry.elements, cartesian=calculation.cartesian)
    mol = gto.Mole()
    mol.atom = geometry.atoms
    mol.unit = "Angstrom"
    mol.basis = found.shells
    mol.ecp = found.ecps
    mol.cart = calculation.cartesian
    mol.charge = calculation.charge
    mol.spin = calculation.spin
    mol.symmetry = False
    mol.verbose = 0
    mol.build(dump_input=False, parse_arg=False)
    return mol


def memory_needed(program: ProgramName, n_orbitals: int, n_correlated: int, n_determinants: float) -> float:
    """Peak memory of the machine in GiB for a calculation with thresholds like the default ones.

    The largest of three stages that follow each other, plus the base processes: (1) SCF: some 30 AO matrices (the AO
    integrals are recomputed when they do not fit); (2) transformation: the integrals over correlated orbitals with
    4-fold symmetry go through a file, so two blocks and the AO matrices are enough, at least a fifth of the 8-fold
    integrals n^4/8; (3) the solver, with its own copy: PyCI holds all n^4, PySCF and Dice about two times n^4/8 (Dice's
    second copy is its heat-bath table), an unknown program at least one. It needs no more for determinants than there
    are (`n_determinants`).
    """
    integrals = _integrals_gib(n_correlated)
    matrices = 30 * 8 * n_orbitals**2 / GIB
    copies = {"pyci": 8.0, "pyscf": 2.0, "dice": 2.0, "command": 1.0}[program]
    solver = min(SOLVER_GIB[program], _IDLE_GIB + _DETERMINANT_BYTES * n_determinants / GIB)
    return BASE_GIB + max(matrices + 0.2 * integrals, copies * integrals + solver)


def _integrals_gib(n: int) -> float:
    return float(8 * n**4 / 8 / GIB)


def _size(calculation: Calculation, mol: gto.Mole) -> Size:
    n_orbitals = int(mol.nao_nr())
    n_electrons = int(mol.nelectron)
    n_frozen = int(chemcore(mol)) if calculation.frozen_core else 0
    n_alpha, n_beta = (int(n) for n in mol.nelec)
    if n_alpha > n_orbitals:
        raise InputError(
            "basis",
            f"{told(calculation.basis)!r} gives {n_orbitals} orbitals, too few for {n_alpha} electrons of one spin",
            "Take a larger basis or a lower spin",
        )
    if calculation.frozen_core and (n_electrons <= 2 * n_frozen or n_beta < n_frozen):
        raise InputError(
            "frozen_core",
            f"{n_frozen} frozen orbitals leave nothing to correlate of {n_alpha} + {n_beta} electrons",
            "Set frozen_core to false",
        )
    n_correlated = n_orbitals - n_frozen
    return Size(
        n_atoms=int(mol.natm),
        n_orbitals=n_orbitals,
        n_electrons=n_electrons,
        n_frozen=n_frozen,
        n_correlated_orbitals=n_correlated,
        integrals_gib=_integrals_gib(n_correlated),
        memory_gib=memory_needed(
            calculation.program,
            n_orbitals,
            n_correlated,
            # As a float: beyond 1e308 no machine's memory is a matter of determinants.
            min(1e300, comb(n_correlated, n_alpha - n_frozen) * comb(n_correlated, n_beta - n_frozen)),
        ),
    )


def _check_thresholds(calculation: Calculation) -> None:
    for name, (low, high) in (("eps1", EPS1_RANGE), ("eps2", EPS2_RANGE)):
        value = getattr(calculation, name)
        if not low <= value <= high:  # also true for NaN
            raise InputError(name, f"{value:g} Hartree is outside {low:g} to {high:g}", "Choose a value in this range")
    if calculation.eps2 > calculation.eps1:
        raise InputError(
            "eps2",
            f"{calculation.eps2:g} is larger than eps1 = {calculation.eps1:g}, so that no correction would be left",
            f"Choose eps2 at most {calculation.eps1:g}; a hundredth of eps1 is usual",
        )


def _check_program(calculation: Calculation) -> None:
    command = calculation.command
    if calculation.program != "command":
        return
    if command is None:
        raise InputError("command", "program 'command' has no command line", "Fill in command.line")
    check_command(command)


def _check_said(calculation: Calculation, geometry: Geometry) -> None:
    """Other programs' inputs say charge and multiplicity too: the parameters do not contradict them."""
    said = [("charge", calculation.charge, geometry.charge)]
    if geometry.multiplicity is not None:
        said.append(("spin", calculation.spin, geometry.multiplicity - 1))
    for name, parameter, of_molecule in said:
        if of_molecule is not None and parameter != of_molecule:
            raise InputError(
                name,
                f"{parameter} is not what the molecule's text says, which is {of_molecule}",
                f"Set {name} to {of_molecule}, or give the atoms without that line",
            )


def _check_spin(calculation: Calculation, geometry: Geometry, basis: Resolved) -> None:
    charge, spin = calculation.charge, calculation.spin
    in_cores = {symbol: int(ecp[0]) for symbol, ecp in basis.ecps.items()}
    total = sum(gto.charge(element) - in_cores.get(element, 0) for element in geometry.elements)
    electrons = total - charge
    if spin < 0:
        raise InputError("spin", f"{spin} is negative", "Give the number of unpaired electrons, 2S")
    if electrons < 1:
        raise InputError("charge", f"{charge:+d} leaves {electrons} electrons", f"Choose a charge below {total:+d}")
    if spin > electrons:
        raise InputError(
            "spin", f"{spin} unpaired electrons of {electrons} in all", f"Choose at most {electrons}, the same parity"
        )
    if (electrons - spin) % 2:
        # With an odd number of electrons 0 is impossible, and the other way round.
        nearest = spin + 1 if spin == 0 else spin - 1
        raise InputError(
            "spin",
            f"{electrons} electrons (charge {charge:+d}) cannot have {spin} unpaired",
            f"Set spin to {nearest} or change the charge by one",
        )
