"""Which Hartree-Fock solution a calculation starts from. Energies of atoms and broken bonds, Hartree: the lowest that
PySCF, psi4 and NWChem found from many starts (recorded in November 2026)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyscf import scf
from pyscf.soscf import newton_ah
from pyscf.tools import fcidump

from spotwave.node.jobs.shci.calculation import Calculation, check
from spotwave.node.jobs.shci.fcidump import write_fcidump
from spotwave.node.jobs.shci.fcidump_energies import determinant_energy
from spotwave.node.jobs.shci.invariants import of_another_spin, prove_energies, prove_reference
from spotwave.node.jobs.shci.pilot import choose, occupied
from spotwave.node.jobs.shci.programs.base import SolverTask
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.reference import Reference
from spotwave.node.jobs.shci.scf.first_determinant import lowest_by_exchanges
from spotwave.node.jobs.shci.scf.hartree_fock import HartreeFock, load_hartree_fock, run_hartree_fock
from spotwave.node.jobs.shci.scf.occupations import lowest_determinants
from spotwave.node.jobs.shci.scf.solutions import Solution, find_solutions
from spotwave.node.jobs.shci.scf.stability import analyse, is_minimum
from tests.node.chemistry import exact_energy, hartree_fock, quiet

MEMORY_GIB = 2.0


def solutions_of(calculation: Calculation, folder: Path) -> list[Solution]:
    return find_solutions(hartree_fock(calculation, folder), folder / "solutions", max_memory_gib=MEMORY_GIB, log=quiet)


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


@pytest.mark.parametrize(
    ("molecule", "spin", "basis", "energy", "origins"),
    [
        # From the SCF's own start: -1137.33, -752.0012, -147.1399, -942.7361.
        ("Mn 0 0 0", 5, "sto-3g", -1137.645155674, {"occupation", "instability"}),
        ("Sc 0 0 0", 1, "sto-3g", -752.011474391, {"occupation", "instability"}),
        ("O 0 0 0; O 0 0 4.0", 2, "sto-3g", -147.466139159, {"occupation", "instability"}),
        ("V 0 0 0", 3, "def2-svp", -942.748088714, {"occupation"}),
        ("O 0 0 0; H 0 0 0.97", 1, "6-31g", None, {"start"}),
    ],
)
def test_the_lowest_solution_is_found(
    molecule: str, spin: int, basis: str, energy: float | None, origins: set[str], tmp_path: Path
) -> None:
    calculation = Calculation(molecule=molecule, spin=spin, basis=basis)
    found = solutions_of(calculation, tmp_path)
    assert found[0].origin in origins
    if energy is not None:
        assert found[0].hf.energy == pytest.approx(energy, abs=2e-6)
    assert any(one.origin == "start" for one in found), "a lower one may be the worse reference"
    for one in found:
        assert load_hartree_fock(calculation, one.hf.chkfile).energy == pytest.approx(one.hf.energy, abs=1e-9)
        assert np.all(np.diff(one.hf.mo_occ) <= 0)
    assert len({round(one.hf.energy, 5) for one in found}) == len(found)


@pytest.mark.parametrize(
    ("molecule", "spin", "stable"),
    [
        ("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", 0, True),
        ("N 0 0 0; N 0 0 2.2", 0, False),
        # PySCF's own analysis calls it stable: none of its start vectors overlaps with the mode.
        ("Mn 0 0 0", 5, False),
        ("O 0 0 0; H 0 0 0.97", 1, True),
    ],
)
def test_stability_is_the_lowest_eigenvalue_of_the_whole_hessian(
    molecule: str, spin: int, stable: bool, tmp_path: Path
) -> None:
    hf = hartree_fock(Calculation(molecule=molecule, spin=spin, basis="sto-3g"), tmp_path)
    found, rotated = analyse(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=MEMORY_GIB)
    field: Any = scf.RHF(hf.mol) if spin == 0 else scf.ROHF(hf.mol)
    terms = newton_ah.gen_g_hop_rhf if spin == 0 else newton_ah.gen_g_hop_rohf
    spins = np.array([hf.mo_occ > 0, hf.mo_occ > 1]).astype(float)
    both = np.array([hf.mo_coeff, hf.mo_coeff])
    internal = lowest_of(*terms(field, hf.mo_coeff, hf.mo_occ, with_symmetry=False))
    external = lowest_of(*newton_ah.gen_g_hop_uhf(scf.UHF(hf.mol), both, spins, with_symmetry=False))
    assert found.internal == pytest.approx(internal, abs=1e-4)
    assert found.external == pytest.approx(external, abs=1e-4)
    assert is_minimum(found) == stable
    assert (rotated is None) == stable


def lowest_of(gradient: NDArray[np.float64], times: Callable[[Any], Any], _: Any) -> float:
    """Of the whole matrix, Hartree."""
    matrix = 2 * np.array([times(row) for row in np.eye(len(gradient))])
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[0])


def test_nothing_can_be_rotated_in_one_orbital(tmp_path: Path) -> None:
    found = solutions_of(Calculation(molecule="H 0 0 0", spin=1, basis="sto-3g"), tmp_path)
    assert [(one.stability.internal, one.stability.external) for one in found] == [(None, None)]


def test_other_determinants_have_the_energy_that_pyscf_gives_them(tmp_path: Path) -> None:
    hf = hartree_fock(Calculation(molecule="C 0 0 0; N 0 0 1.17", spin=1, basis="6-31g"), tmp_path)
    found = lowest_determinants(hf.mol, hf.mo_coeff, hf.mo_occ, hf.labels, max_memory_gib=MEMORY_GIB)
    field = scf.ROHF(hf.mol)
    reference = field.energy_tot(dm=field.make_rdm1(hf.mo_coeff, hf.mo_occ))
    assert sorted(one.irrep for one in found) == [0, 2, 3]  # A1, B1, B2: one electron is unpaired
    assert (found[0].occupation == hf.mo_occ).all()
    for one in found:
        energy = field.energy_tot(dm=field.make_rdm1(hf.mo_coeff, one.occupation))
        assert one.excitation == pytest.approx(energy - reference, abs=1e-8)
        assert one.occupation.sum() == hf.mo_occ.sum()
        assert np.count_nonzero(one.occupation == 1) == 1


def test_an_irrep_with_two_strokes_can_be_told(tmp_path: Path) -> None:
    """Of a planar radical: the unpaired electron stands out of the plane."""
    radical = Calculation(molecule="O 0 0 0; O 1.33 0 0; H -0.24 0.95 0", spin=1, basis="sto-3g")
    (first, *_) = solutions_of(radical, tmp_path)
    assert first.told(None).irrep == 'A"'


def test_a_soft_mode_does_not_hold_hartree_fock_up(tmp_path: Path) -> None:
    """Triplet nickel: the gradient along one mode stays, and the energy has long been still."""
    nickel = Calculation(molecule="Ni 0 0 0", spin=2, basis="def2-svp")
    assert hartree_fock(nickel, tmp_path).energy == pytest.approx(-1506.562997, abs=2e-6)


def test_two_atoms_far_apart_are_in_their_lowest_solution(tmp_path: Path) -> None:
    """A start without symmetry ends at -0.4753."""
    hf = hartree_fock(Calculation(molecule="H 0 0 0; H 0 0 20", basis="cc-pvdz"), tmp_path)
    assert hf.energy == pytest.approx(-0.720604627, abs=1e-8)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="PyCI has wheels for Linux only")


@on_linux
def test_a_lower_solution_is_not_followed_blindly(tmp_path: Path) -> None:
    """Triplet B2: an ROHF at -49.0697 exists, and SHCI from it ends 0.03 Hartree higher."""
    boron = Calculation(molecule="B 0 0 0; B 0 0 1.59", spin=2, basis="6-31g", eps1=1e-3, eps2=1e-4)
    kept, told = chosen(boron, tmp_path)
    assert kept.energy == pytest.approx(-49.058036785, abs=1e-6)
    assert told.origin == "start"
    lower = [other for other in told.others if other.energy < kept.energy - 0.01]
    assert lower
    assert told.pilot_energy is not None
    assert all(other.pilot_energy > told.pilot_energy + 0.01 for other in lower)  # type: ignore[operator]
    assert all(other.pilot_energy > told.pilot_energy for other in told.others)  # type: ignore[operator]
    assert told.irrep == "B1g"
    assert "is lower, and leads to a higher SHCI energy" in told.note
    assert "It is no minimum" in told.note
    assert Reference.model_validate_json(told.model_dump_json()) == told
    assert list((tmp_path / "pilots").iterdir()) == []


@on_linux
def test_the_better_solution_is_kept(tmp_path: Path) -> None:
    """Manganese: the SCF's own start is 0.27 Hartree too high, and so was the answer."""
    manganese = Calculation(molecule="Mn 0 0 0", spin=5, basis="sto-3g", frozen_core=True, eps1=1e-3, eps2=1e-4)
    kept, told = chosen(manganese, tmp_path)
    assert kept.energy == pytest.approx(-1137.645156, abs=2e-6)
    assert told.origin != "start"
    assert is_minimum(told.stability)


def test_a_single_solution_needs_no_pilot(tmp_path: Path) -> None:
    water = Calculation(molecule="O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", basis="sto-3g")
    kept, told = chosen(water, tmp_path)
    assert (told.origin, told.irrep, told.others, told.pilot_energy, told.note) == ("start", "A1", (), None, "")
    assert told.stability.internal is not None
    assert told.stability.internal > 0.1
    assert kept.energy == told.energy


def test_functions_that_depend_on_each_other_leave_fewer_orbitals(tmp_path: Path) -> None:
    """PySCF drops them from the SCF; the integrals are over the orbitals that are left."""
    close = Calculation(molecule="He 0 0 0; He 0 0 0.21", basis="aug-cc-pvqz")
    hf = run_hartree_fock(close, tmp_path / "scf.chk", max_memory_gib=MEMORY_GIB, log=quiet)
    assert hf.mo_coeff.shape[1] < hf.mol.nao_nr()


@on_linux
def test_open_shells_of_opposite_spin_are_found_where_a_bond_is_broken(tmp_path: Path) -> None:
    """CN at 4 Angstrom, doublet: from the ROHF determinant it was -90.741870, 0.2 Hartree too high, without a word."""
    broken = Calculation(molecule="C 0 0 0; N 0 0 4.0", spin=1, basis="sto-3g", eps1=1e-3, eps2=1e-5)
    kept, told = chosen(broken, tmp_path)
    assert told.first_determinant is not None
    assert told.pilot_energy == pytest.approx(-90.93777, abs=1e-4)
    task = ended_with(broken, kept, told, tmp_path)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    labels = fcidump.read(str(task.fcidump), verbose=False)["ORBSYM"]  # Molpro's: 1 is A1, products are XOR from 0
    product = np.bitwise_xor.reduce([labels[orbital] - 1 for one in task.occupied for orbital in one])
    assert (kept.irrep, told.irrep, product) == ("B2", "A1", 0), "told is that of the first determinant"
    first = prove_reference(task, kept.energy)
    assert first < kept.energy - 0.2
    assert energies.iterations[0].variational_energy == pytest.approx(first, abs=1e-9)
    assert energies.total_energy == pytest.approx(exact_energy(task.fcidump), abs=1e-5)
    prove_energies(task, energies, reference=first)
    assert of_another_spin(task, energies) is not None, "doublets, quartets and sextets have one energy here"
    assert Reference.model_validate_json(told.model_dump_json()) == told


@on_linux
@pytest.mark.parametrize(
    ("molecule", "spin", "basis", "lowest"),
    [("C 0 0 0", 0, "cc-pvdz", -37.70729773), ("C 0 0 0; C 0 0 1.8", 0, "sto-3g", -74.5302923)],
    ids=["C", "C2"],
)
def test_a_state_of_another_spin_is_no_answer_though_it_lies_lower(
    molecule: str, spin: int, basis: str, lowest: float, tmp_path: Path
) -> None:
    """Triplets lie lower for both: a determinant of open shells leads to them. The lowest singlets, by full CI."""
    singlet = Calculation(molecule=molecule, spin=spin, basis=basis, eps1=5e-4, eps2=5e-6)
    kept, told = chosen(singlet, tmp_path)
    assert told.first_determinant is None
    (triplet, *_) = [one for one in told.others if one.pilot_s_squared == pytest.approx(2.0, abs=0.01)]
    assert triplet.first_determinant is not None
    assert triplet.pilot_energy is not None
    assert told.pilot_energy is not None
    assert triplet.pilot_energy < told.pilot_energy - 0.01
    assert "A state of another spin lies lower" in told.note
    task = ended_with(singlet, kept, told, tmp_path)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    assert energies.total_energy == pytest.approx(lowest, abs=2e-4)
    assert of_another_spin(task, energies) is None


@on_linux
def test_a_program_that_always_starts_from_the_first_orbitals_is_told_of_a_lower_determinant(tmp_path: Path) -> None:
    broken = Calculation(molecule="C 0 0 0; N 0 0 4.0", spin=1, basis="sto-3g", eps1=1e-3, eps2=1e-5)
    _, told = chosen(broken, tmp_path, starts_anywhere=False)
    assert told.first_determinant is None
    assert all(other.first_determinant is None for other in told.others)
    assert "may end in a higher state" in told.note


@on_linux
def test_the_lowest_irrep_is_found(tmp_path: Path) -> None:
    """Quartet CN: the SCF's own start is of another irrep, and led to -90.6305; full CI has -90.635349 in A1."""
    quartet = Calculation(molecule="C 0 0 0; N 0 0 1.0", spin=3, basis="sto-3g", eps1=1e-3, eps2=1e-5)
    kept, told = chosen(quartet, tmp_path)
    assert (told.irrep, told.origin) == ("A1", "occupation")
    assert any(other.irrep != "A1" for other in told.others)
    task = ended_with(quartet, kept, told, tmp_path)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda _: None)
    assert energies.total_energy == pytest.approx(-90.635349, abs=1e-5)
    assert of_another_spin(task, energies) is None


def test_a_lower_determinant_has_the_energy_that_its_integrals_give(tmp_path: Path) -> None:
    """With a frozen core its orbitals count from the first that is not frozen."""
    far = Calculation(molecule="C 0 0 0; O 0 0 4.0", basis="sto-3g", frozen_core=True)
    hf = hartree_fock(far, tmp_path)
    found = lowest_by_exchanges(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=MEMORY_GIB)
    assert found is not None
    assert all(one[:2] == (0, 1) for one in found)
    write_fcidump(hf, tmp_path / "whole", frozen=0, max_memory_gib=MEMORY_GIB)
    write_fcidump(hf, tmp_path / "valence", frozen=2, max_memory_gib=MEMORY_GIB)
    energy = determinant_energy(tmp_path / "whole", *found)
    valence = determinant_energy(tmp_path / "valence", *([orbital - 2 for orbital in one[2:]] for one in found))
    assert energy == pytest.approx(valence, abs=1e-9)
    assert energy < hf.energy - 0.1
    density = [sum(np.outer(hf.mo_coeff[:, i], hf.mo_coeff[:, i]) for i in one) for one in found]
    assert energy == pytest.approx(scf.UHF(hf.mol).energy_tot(dm=np.array(density)), abs=1e-8)


def test_a_molecule_at_rest_has_no_lower_determinant(tmp_path: Path) -> None:
    hf = hartree_fock(Calculation(molecule="N 0 0 0; N 0 0 1.1", basis="6-31g"), tmp_path)
    assert lowest_by_exchanges(hf.mol, hf.mo_coeff, hf.mo_occ, max_memory_gib=MEMORY_GIB) is None


def ended_with(calculation: Calculation, kept: HartreeFock, told: Reference, folder: Path) -> SolverTask:
    """The task of the calculation itself, its integrals written."""
    task = task_of(calculation, folder)
    write_fcidump(kept, task.fcidump, frozen=0, orbsym=True, max_memory_gib=MEMORY_GIB)
    return replace(task, first_determinant=occupied(told.first_determinant))


def test_a_mode_down_that_is_one_of_several_is_chosen_by_rule(tmp_path: Path) -> None:
    """N2 at 3 Angstrom: each component of a pi level leads to a solution that breaks the symmetry, and so does each
    mixture of them."""
    hf = hartree_fock(Calculation(molecule="N 0 0 0; N 0 0 3.0", basis="6-31g"), tmp_path)
    random = np.random.default_rng(3)
    noise = [np.eye(len(hf.mo_occ))] + [
        np.linalg.qr(np.eye(len(hf.mo_occ)) + 1e-10 * random.standard_normal(hf.mo_coeff.shape))[0] for _ in range(2)
    ]
    signs = [np.sign(np.diag(one)) for one in noise]
    found = [
        analyse(hf.mol, hf.mo_coeff @ (one * sign), hf.mo_occ, max_memory_gib=MEMORY_GIB)[1]
        for one, sign in zip(noise, signs, strict=True)
    ]
    assert found[0] is not None
    for other in found[1:]:
        assert other is not None
        assert np.abs(other - found[0]).max() < 1e-3
