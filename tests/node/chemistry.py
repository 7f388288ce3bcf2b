"""Small calculations shared by several tests."""

from __future__ import annotations

from pathlib import Path

from pyscf import fci
from pyscf.tools import fcidump

from spotwave.node.jobs.shci.calculation import Calculation, ProgramName, check
from spotwave.node.jobs.shci.fcidump import IntegralsProof, write_fcidump
from spotwave.node.jobs.shci.programs.base import SolverTask
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock, run_hartree_fock
from spotwave.node.jobs.shci.scf.solutions import Solution, find_solutions

MEMORY_GIB = 2.0
NITROGEN = "N 0 0 0; N 0 0 1.2"


def quiet(_: str) -> None:
    """Ignore a log line."""


def hartree_fock(calculation: Calculation, folder: Path) -> HartreeFock:
    return run_hartree_fock(calculation, folder / "scf.chk", max_memory_gib=MEMORY_GIB, log=quiet)


def solutions_of(calculation: Calculation, folder: Path) -> list[Solution]:
    return find_solutions(hartree_fock(calculation, folder), folder / "solutions", max_memory_gib=MEMORY_GIB, log=quiet)


def dump(calculation: Calculation, folder: Path) -> IntegralsProof:
    """Write folder/FCIDUMP."""
    frozen = check(calculation).n_frozen
    return write_fcidump(
        hartree_fock(calculation, folder), folder / "FCIDUMP", frozen=frozen, max_memory_gib=MEMORY_GIB
    )


def exact_energy(path: Path) -> float:
    """Return the full CI energy of an FCIDUMP file, by PySCF, in Hartree."""
    data = fcidump.read(str(path), verbose=False)
    electrons = (data["NELEC"] + data["MS2"]) // 2, (data["NELEC"] - data["MS2"]) // 2
    solver = fci.direct_spin1.FCI()
    solver.conv_tol = 1e-12
    return float(solver.kernel(data["H1"], data["H2"], data["NORB"], electrons, ecore=data["ECORE"])[0])


def task_for(
    proof: IntegralsProof,
    folder: Path,
    *,
    eps1: float = 1e-4,
    eps2: float = 1e-6,
    threads: int = 1,
    name: str = "run",
    memory_gib: float = 2.0,
) -> SolverTask:
    """Return a task for folder/FCIDUMP with its own folders."""
    own = folder / name
    return SolverTask(
        fcidump=folder / "FCIDUMP",
        output=own / "output",
        checkpoint=own / "checkpoint",
        log=own / "solver.log",
        threads=threads,
        memory_gib=memory_gib,
        eps1=eps1,
        eps2=eps2,
        n_orbitals=proof.n_orbitals,
        n_electrons=proof.n_electrons,
        spin=proof.spin,
    )


def nitrogen(basis: str = "sto-3g", program: ProgramName = "pyci", **more: float) -> Calculation:
    return Calculation(molecule=NITROGEN, basis=basis, program=program, **more)  # type: ignore[arg-type]
