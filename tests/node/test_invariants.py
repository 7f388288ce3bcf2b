"""Consistency checks between two steps: a job with contradicting values ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spotwave.node.jobs.shci.fcidump_energies import lower_bound
from spotwave.node.jobs.shci.integrals_proof import IntegralsProof
from spotwave.node.jobs.shci.invariants import (
    Contradiction,
    of_another_spin,
    prove_energies,
    prove_reference,
)
from spotwave.node.jobs.shci.programs.base import Energies, SolverTask
from tests.node.chemistry import dump, exact_energy, hartree_fock, nitrogen, task_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nitrogen")


@pytest.fixture(scope="module")
def proof(folder: Path) -> IntegralsProof:
    return dump(nitrogen(), folder)


@pytest.fixture
def task(proof: IntegralsProof, folder: Path) -> SolverTask:
    return task_for(proof, folder)


@pytest.fixture(scope="module")
def hf_energy(tmp_path_factory: pytest.TempPathFactory) -> float:
    return hartree_fock(nitrogen(), tmp_path_factory.mktemp("scf")).energy


def ended(energy: float) -> Energies:
    return Energies("mine", "1", energy, energy, 100)


def test_consistent_values_pass(task: SolverTask, hf_energy: float) -> None:
    prove_reference(task, hf_energy)
    prove_energies(task, ended(hf_energy), reference=hf_energy)
    prove_energies(task, ended(exact_energy(task.fcidump)), reference=hf_energy)


def test_orbitals_in_another_order_are_refused(task: SolverTask, hf_energy: float, tmp_path: Path) -> None:
    """The file has swapped orbitals, which no program would notice."""
    header, lines = [], []
    for line in task.fcidump.read_text().splitlines(keepends=True):
        (lines if len(header) == 4 else header).append(line)
    swap = {"7": "8", "8": "7"}  # the highest occupied orbital and the lowest empty one
    for n, line in enumerate(lines):
        value, *indices = line.split()
        i, j, k, m = (int(swap.get(index, index)) for index in indices)
        i, j, k, m = max(i, j), min(i, j), max(k, m), min(k, m)
        lines[n] = " ".join(map(str, (value, *max((i, j, k, m), (k, m, i, j))))) + "\n"
    other = tmp_path / "FCIDUMP"
    other.write_text("".join(header + lines))
    with pytest.raises(Contradiction, match=r"the first determinant of the integral file has -\d+\.\d+ Hartree"):
        prove_reference(replace(task, fcidump=other), hf_energy)


def test_an_energy_above_the_reference_or_below_the_bound_is_refused(task: SolverTask, hf_energy: float) -> None:
    with pytest.raises(Contradiction, match=r"-1\.1000000000 Hartree, above -\d+\.\d+ of the first determinant"):
        prove_energies(task, ended(-1.1), reference=hf_energy)
    bound = lower_bound(task.fcidump, task.n_orbitals, task.n_alpha, task.n_beta)
    assert bound < exact_energy(task.fcidump)
    with pytest.raises(Contradiction, match="the lower bound for these electrons"):
        prove_energies(task, ended(bound - 1.0), reference=hf_energy)


@pytest.mark.parametrize(
    ("spin", "s_squared", "warned"), [(0, 0.0, False), (0, 0.171, True), (2, 2.01, False), (2, 0.0, True)]
)
def test_a_state_of_another_spin_causes_a_warning(task: SolverTask, spin: int, s_squared: float, warned: bool) -> None:
    energies = Energies("mine", "1", -1.0, -1.0, 100, s_squared=s_squared)
    warning = of_another_spin(replace(task, spin=spin), energies)
    assert (warning is not None) == warned
    assert of_another_spin(task, ended(-1.0)) is None, "a program that does not report <S^2>"


@pytest.mark.parametrize(
    ("first", "line"),
    [
        (((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 7)), "was chosen to be lower than Hartree-Fock"),
        (((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5, 6, 7)), "does not fit 7 electrons in 10 orbitals"),
        (((0, 1, 2, 3, 4, 5, 5), (0, 1, 2, 3, 4, 5, 6)), "does not fit 7 electrons in 10 orbitals"),
        (((0, 1, 2, 3, 4, 5, 10), (0, 1, 2, 3, 4, 5, 6)), "does not fit 7 electrons in 10 orbitals"),
    ],
)
def test_an_invalid_first_determinant_is_refused(
    task: SolverTask, hf_energy: float, first: tuple[tuple[int, ...], tuple[int, ...]], line: str
) -> None:
    """The first determinant may come from a checkpoint."""
    with pytest.raises(Contradiction, match=line):
        prove_reference(replace(task, first_determinant=first), hf_energy)
