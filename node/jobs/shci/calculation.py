"""Input of a heat-bath configuration interaction calculation, and its validation.

The model has no numeric bounds, because the server would report violations in its own wording, long after the form was
submitted. Instead `check` validates all input before a machine is launched and says what to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pyscf import gto
from pyscf.data.elements import chemcore

from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.basis_sets.basis import Basis, Resolved, label_of, resolve
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

# On one line, because the UI's form shows only one line of a text.
WATER_DIMER = (
    "O -1.551007 -0.114520 0.000000; H -1.934259 0.762503 0.000000; H -0.599677 0.040712 0.000000; "
    "O 1.350625 0.111469 0.000000; H 1.680398 -0.373741 -0.758561; H 1.680398 -0.373741 0.758561"
)

EPS1_RANGE = (1e-8, 0.1)
EPS2_RANGE = (1e-12, 0.1)
GIB = 1024**3
# Besides the solver: the run with PySCF and the molecule (measured for the default job: 0.20 GiB), the agent, the
# worker, the system.
BASE_GIB = 0.5
# The solver without integrals. Measured for the default job with PyCI on two threads: 1.05 GiB resident, 1.24 GiB of
# private memory, which is what the limit counts (node.jobs.shci.programs.memory_limit), nearly all of it in PT2; 0.21
# GiB before PT2. The need of PT2 depends on eps2 and cannot be predicted: if a machine is too small, a larger one
# follows. The values of the other programs are assumed.
SOLVER_GIB = {"pyci": 1.25, "dice": 1.25, "pyscf": 0.5, "command": 0.5}
_IDLE_GIB = 0.25
_DETERMINANT_BYTES = 128  # in PT2's table: two bit strings, a sum, and the table's overhead


def _is_false(value: bool) -> bool:
    return not value


class Calculation(BaseModel):
    """Input of one SHCI calculation: molecule, orbital basis, program and its two thresholds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    molecule: str = Field(
        default=WATER_DIMER,
        title="Molecule",
        description="Geometry in Angstrom: the text of an XYZ file, or PySCF syntax such as "
        "'O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587' (a Z-matrix works too; so do inputs of other programs).",
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
        'potential if it has one; or one per element: {"Cu": "lanl2dz", "default": "6-31g"}. Instead of a '
        "name: the text of a file in NWChem's format.",
    )
    # Omitted from stored data if false, so that older jobs without this field compare equal.
    cartesian: bool = Field(
        default=False,
        title="Cartesian functions",
        description="6 d and 10 f functions instead of 5 and 7, as 6-31G* was made for in older work.",
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
        description="pyci: heat-bath CI, installed with Spotwave (Linux). pyscf: PySCF's own selected CI, for systems "
        "without a PyCI wheel. dice: the program Dice under mpirun, installed on the machine. command: your own.",
    )
    eps1: float = Field(
        default=5e-4,
        title="eps1: variational threshold",
        description="Heat-bath selection: a determinant i enters when |H_ij c_j| > eps1 (Hartree) for some j in the "
        "wave function. Between 1e-8 and 0.1; smaller is more accurate and more expensive.",
    )
    eps2: float = Field(
        default=5e-6,
        title="eps2: perturbative threshold",
        description="Epstein-Nesbet PT2 neglects contributions with |H_ij c_j| < eps2 (Hartree). Between 1e-12 and "
        "eps1.",
    )
    command: CommandProgram | None = Field(
        default=None, title="Own program", description="Needed when the SHCI program is 'command'."
    )
    keep_fcidump: bool = Field(
        default=False,
        title="Keep FCIDUMP",
        description="Also copy the integral file to the results (about 35 bytes x n^4/8: 170 MB for 82 orbitals).",
    )


@dataclass(frozen=True)
class Size:
    """Size of a calculation, derived from its input alone."""

    n_atoms: int
    n_orbitals: int  #: spatial orbitals = AO basis functions
    n_electrons: int  #: all electrons except those in effective core potentials
    n_frozen: int  #: doubly occupied core orbitals excluded from the CI
    n_correlated_orbitals: int
    integrals_gib: float  #: 8 bytes x n^4/8 for the correlated orbitals
    memory_gib: float  #: estimated peak of the whole machine (see `memory_needed`)

    @property
    def n_correlated_electrons(self) -> int:
        return self.n_electrons - 2 * self.n_frozen


def check(calculation: Calculation) -> Size:
    """Validate the input before a machine is rented. Computes no integrals, writes nothing.

    Raises InputError with one line for the first problem found.
    """
    _check_thresholds(calculation)
    _check_program(calculation)
    geometry = parse_geometry(calculation.molecule)
    _check_stated(calculation, geometry)
    _check_spin(calculation, geometry, resolve(calculation.basis, geometry.elements, cartesian=calculation.cartesian))
    mol = build_molecule(calculation)
    return _size(calculation, mol)


def build_molecule(calculation: Calculation) -> gto.Mole:
    """Return the molecule for PySCF, in C1 symmetry, with the ECP of the basis set if it has one.

    Raises InputError for an unreadable geometry or basis set.
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
    """Return the machine's peak memory in GiB for a calculation with thresholds similar to the default ones.

    It is the largest of three successive stages, plus the base processes: (1) SCF: about 30 AO matrices (AO integrals
    that do not fit are recomputed); (2) transformation: the integrals over correlated orbitals with 4-fold symmetry are
    written to a file, so two blocks and the AO matrices suffice, at least a fifth of the 8-fold integrals n^4/8; (3)
    the solver with its own copy: PyCI holds all n^4, PySCF and Dice about two times n^4/8 (Dice's second copy is its
    heat-bath table), an unknown program at least one. The memory for determinants is limited by their total number
    (`n_determinants`).
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
            f"{label_of(calculation.basis)!r} gives {n_orbitals} orbitals, too few for {n_alpha} electrons of one spin",
            "Use a larger basis or a lower spin",
        )
    if calculation.frozen_core and (n_electrons <= 2 * n_frozen or n_beta < n_frozen):
        raise InputError(
            "frozen_core",
            f"with {n_frozen} frozen orbitals no electron of {n_alpha} + {n_beta} is left to correlate",
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
            # Limited to 1e300, since larger numbers do not fit a float.
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
            f"{calculation.eps2:g} is larger than eps1 = {calculation.eps1:g}, so no correction would remain",
            f"Choose eps2 at most {calculation.eps1:g}; a hundredth of eps1 is usual",
        )


def _check_program(calculation: Calculation) -> None:
    command = calculation.command
    if calculation.program != "command":
        return
    if command is None:
        raise InputError("command", "program 'command' has no command line", "Fill in command.line")
    check_command(command)


def _check_stated(calculation: Calculation, geometry: Geometry) -> None:
    """Check that charge and spin agree with those in the molecule's text, as inputs of other programs state them."""
    stated = [("charge", calculation.charge, geometry.charge)]
    if geometry.multiplicity is not None:
        stated.append(("spin", calculation.spin, geometry.multiplicity - 1))
    for name, parameter, of_molecule in stated:
        if of_molecule is not None and parameter != of_molecule:
            raise InputError(
                name,
                f"{parameter} differs from the molecule's text, which gives {of_molecule}",
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
            "spin", f"{spin} unpaired electrons of {electrons} in total", f"Choose at most {electrons}, of equal parity"
        )
    if (electrons - spin) % 2:
        # With an odd number of electrons 0 is impossible, and vice versa.
        nearest = spin + 1 if spin == 0 else spin - 1
        raise InputError(
            "spin",
            f"{electrons} electrons (charge {charge:+d}) cannot have {spin} unpaired",
            f"Set spin to {nearest} or change the charge by one",
        )
