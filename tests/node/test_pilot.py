"""Choice of the Hartree-Fock solution, and the remarks if another state is lower."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyscf.tools import fcidump

from spotwave.node.jobs.shci.calculation import Calculation, check
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.invariants import of_another_spin, prove_energies, prove_reference
from spotwave.node.jobs.shci.pilot import choose, occupied
from spotwave.node.jobs.shci.programs.base import SolverTask
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.reference import Reference
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock
from spotwave.node.jobs.shci.scf.stability import is_minimum
from tests.node.chemistry import MEMORY_GIB, exact_energy, quiet, solutions_of

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="PyCI has wheels for Linux only")


def task_of(calculation: Calculation, folder: Path) -> SolverTask:
    size = check(calculation)
    return SolverTask(
        fcidump=folder / "FCIDUMP",
        output=folder / "output",
        checkpoint=folder / "checkpoint",
        log=folder / "log",
        threads=1,
        memory_gib=MEMORY_GIB,
        eps1=calculation.eps1,
        eps2=calculation.eps2,
        n_orbitals=size.n_correlated_orbitals,
        n_electrons=size.n_correlated_electrons,
        spin=calculation.spin,
    )


def chosen(calculation: Calculation, folder: Path, *, starts_anywhere: bool = True) -> tuple[HartreeFock, Reference]:
    return choose(
        solutions_of(calculation, folder),
        task_of(calculation, folder),
        folder / "pilots",
        frozen=check(calculation).n_frozen,
        starts_anywhere=starts_anywhere,
        log=quiet,
        should_stop=lambda: False,
    )


@on_linux
@pytest.mark.thorough
def test_a_lower_solution_is_not_followed_blindly(tmp_path: Path) -> None:
    """Triplet B2: an ROHF solution at -49.0697 exists, and SHCI from it ends 0.03 Hartree higher."""
    boron = Calculation(molecule="B 0 0 0; B 0 0 1.59", spin=2, basis="6-31g", eps1=1e-3, eps2=1e-4)
    kept, report = chosen(boron, tmp_path)
    assert kept.energy == pytest.approx(-49.058036785, abs=1e-6)
    assert report.origin == "start"
    lower = [other for other in report.others if other.energy < kept.energy - 0.01]
    assert lower
    assert report.pilot_energy is not None
    assert all(other.pilot_energy > report.pilot_energy + 0.01 for other in lower)  # type: ignore[operator]
    assert all(other.pilot_energy > report.pilot_energy for other in report.others)  # type: ignore[operator]
    assert report.irrep == "B1g"
    assert "is lower, but leads to a higher SHCI energy" in report.note
    assert "It is not a minimum" in report.note
    assert Reference.model_validate_json(report.model_dump_json()) == report
    assert list((tmp_path / "pilots").iterdir()) == []


@on_linux
@pytest.mark.thorough
def test_the_better_solution_is_kept(tmp_path: Path) -> None:
    """Manganese: the initial SCF solution is 0.27 Hartree too high, and so would be the result."""
    manganese = Calculation(molecule="Mn 0 0 0", spin=5, basis="sto-3g", frozen_core=True, eps1=1e-3, eps2=1e-4)
    kept, report = chosen(manganese, tmp_path)
    assert kept.energy == pytest.approx(-1137.645156, abs=2e-6)
    assert report.origin != "start"
    assert is_minimum(report.stability)


def test_a_single_solution_needs_no_pilot(tmp_path: Path) -> None:
    water = Calculation(molecule="O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", basis="sto-3g")
    kept, report = chosen(water, tmp_path)
    assert (report.origin, report.irrep, report.others, report.pilot_energy, report.note) == (
        "start",
        "A1",
        (),
        None,
        "",
    )
    assert report.stability.internal is not None
    assert report.stability.internal > 0.1
    assert kept.energy == report.energy


@on_linux
@pytest.mark.thorough
def test_open_shells_of_opposite_spin_are_found_for_a_broken_bond(tmp_path: Path) -> None:
    """CN at 4 Angstrom, doublet: from the ROHF determinant the result was -90.741870, 0.2 Hartree too high."""
    broken = Calculation(molecule="C 0 0 0; N 0 0 4.0", spin=1, basis="sto-3g", eps1=1e-3, eps2=1e-5)
    kept, report = chosen(broken, tmp_path)
    assert report.first_determinant is not None
    assert report.pilot_energy == pytest.approx(-90.93777, abs=1e-4)
    task = ended_with(broken, kept, report, tmp_path)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    labels = fcidump.read(str(task.fcidump), verbose=False)["ORBSYM"]  # Molpro's: 1 is A1, products are XOR from 0
    product = np.bitwise_xor.reduce([labels[orbital] - 1 for one in task.occupied for orbital in one])
    assert (kept.irrep, report.irrep, product) == ("B2", "A1", 0), "the report has the irrep of the first determinant"
    first = prove_reference(task, kept.energy)
    assert first < kept.energy - 0.2
    assert energies.iterations[0].variational_energy == pytest.approx(first, abs=1e-9)
    assert energies.total_energy == pytest.approx(exact_energy(task.fcidump), abs=1e-5)
    prove_energies(task, energies, reference=first)
    assert of_another_spin(task, energies) is not None, "doublets, quartets and sextets are degenerate here"
    assert Reference.model_validate_json(report.model_dump_json()) == report


@on_linux
@pytest.mark.parametrize(
    ("molecule", "spin", "basis", "lowest"),
    [("C 0 0 0", 0, "cc-pvdz", -37.70729773), ("C 0 0 0; C 0 0 1.8", 0, "sto-3g", -74.5302923)],
    ids=["C", "C2"],
)
def test_a_lower_state_of_another_spin_is_not_chosen(
    molecule: str, spin: int, basis: str, lowest: float, tmp_path: Path
) -> None:
    """Triplets are lower for both, reached from an open-shell determinant. `lowest`: the singlets, by full CI."""
    singlet = Calculation(molecule=molecule, spin=spin, basis=basis, eps1=5e-4, eps2=5e-6)
    kept, report = chosen(singlet, tmp_path)
    assert report.first_determinant is None
    (triplet, *_) = [one for one in report.others if one.pilot_s_squared == pytest.approx(2.0, abs=0.01)]
    assert triplet.first_determinant is not None
    assert triplet.pilot_energy is not None
    assert report.pilot_energy is not None
    assert triplet.pilot_energy < report.pilot_energy - 0.01
    assert "A state of another spin lies lower" in report.note
    task = ended_with(singlet, kept, report, tmp_path)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    assert energies.total_energy == pytest.approx(lowest, abs=2e-4)
    assert of_another_spin(task, energies) is None


@on_linux
@pytest.mark.thorough
def test_a_lower_determinant_is_reported_if_the_program_cannot_start_from_it(tmp_path: Path) -> None:
    broken = Calculation(molecule="C 0 0 0; N 0 0 4.0", spin=1, basis="sto-3g", eps1=1e-3, eps2=1e-5)
    _, report = chosen(broken, tmp_path, starts_anywhere=False)
    assert report.first_determinant is None
    assert all(other.first_determinant is None for other in report.others)
    assert "may end in a higher state" in report.note


@pytest.mark.thorough
@on_linux
def test_the_lowest_irrep_is_found(tmp_path: Path) -> None:
    """Quartet CN: the initial SCF has another irrep and leads to -90.6305; full CI gives -90.635349 in A1."""
    quartet = Calculation(molecule="C 0 0 0; N 0 0 1.0", spin=3, basis="sto-3g", eps1=1e-3, eps2=1e-5)
    kept, report = chosen(quartet, tmp_path)
    assert (report.irrep, report.origin) == ("A1", "occupation")
    assert any(other.irrep != "A1" for other in report.others)
    task = ended_with(quartet, kept, report, tmp_path)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    assert energies.total_energy == pytest.approx(-90.635349, abs=1e-5)
    assert of_another_spin(task, energies) is None


def ended_with(calculation: Calculation, kept: HartreeFock, report: Reference, folder: Path) -> SolverTask:
    """Return the task of the calculation itself, after writing its integrals."""
    task = task_of(calculation, folder)
    write_fcidump(kept, task.fcidump, frozen=0, orbsym=True, max_memory_gib=MEMORY_GIB)
    return replace(task, first_determinant=occupied(report.first_determinant))
