from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spotwave.node.jobs.shci.fcidump import IntegralsProof
from spotwave.node.jobs.shci.fcidump_energies import determinant_energy
from spotwave.node.jobs.shci.programs.base import Iteration, Program, Stage
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.pyscf_ci import PySCF
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.runtime.errors import ProgramFailed
from tests.node.chemistry import dump, exact_energy, nitrogen, quiet, task_for


def quiet_iteration(iteration: Iteration) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pyscf")


@pytest.fixture(scope="module")
def proof(folder: Path) -> IntegralsProof:
    return dump(nitrogen(), folder)


@pytest.mark.thorough
def test_a_tiny_threshold_gives_full_ci_and_a_note(folder: Path, proof: IntegralsProof) -> None:
    lines: list[str] = []
    task = task_for(proof, folder, eps1=1e-6, name="fci")
    energies = solve(PySCF(), task, on_line=lines.append, on_iteration=lambda iteration: None)
    assert energies.variational_energy == pytest.approx(exact_energy(folder / "FCIDUMP"), abs=1e-8)
    assert energies.total_energy == energies.variational_energy
    assert "no perturbative correction" in energies.note
    assert any("is used instead of heat-bath CI" in line for line in lines)


@pytest.mark.thorough
def test_an_interrupted_run_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    proof = dump(nitrogen("6-31g"), tmp_path)
    whole = solve(
        PySCF(), task_for(proof, tmp_path, eps1=3e-2, name="whole"), on_line=quiet, on_iteration=lambda iteration: None
    )
    task = task_for(proof, tmp_path, eps1=3e-2, name="interrupted")

    def stop(iteration: Iteration) -> None:
        if iteration.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(PySCF(), task, on_line=quiet, on_iteration=stop)
    state = PySCF().checkpoint_state(task.checkpoint)
    assert state is not None
    assert state.stage is Stage.VARIATIONAL
    lines: list[str] = []
    again = solve(PySCF(), task, on_line=lines.append, on_iteration=lambda iteration: None)
    assert any(line.startswith("restart after iteration") for line in lines)
    assert again.variational_energy == pytest.approx(whole.variational_energy, abs=1e-8)
    assert [one.determinants for one in again.iterations] == [one.determinants for one in whole.iterations]


@pytest.mark.thorough
def test_a_smaller_eps1_continues_a_finished_snapshot(tmp_path: Path) -> None:
    proof = dump(nitrogen("6-31g"), tmp_path)
    task = task_for(proof, tmp_path, eps1=1e-1, name="coarse, then fine")
    coarse = solve(PySCF(), task, on_line=quiet, on_iteration=quiet_iteration)
    fine = solve(PySCF(), replace(task, eps1=3e-2), on_line=quiet, on_iteration=quiet_iteration)
    fresh = solve(
        PySCF(), task_for(proof, tmp_path, eps1=3e-2, name="fresh"), on_line=quiet, on_iteration=quiet_iteration
    )
    assert fine.variational_energy < coarse.variational_energy - 1e-5
    assert fine.variational_energy == pytest.approx(fresh.variational_energy, abs=1e-4)


def test_electrons_of_both_spins_are_required(tmp_path: Path) -> None:
    proof = dump(nitrogen().model_copy(update={"molecule": "H 0 0 0", "spin": 1}), tmp_path)
    with pytest.raises(ProgramFailed, match="needs an electron of each spin"):
        solve(PySCF(), task_for(proof, tmp_path), on_line=quiet, on_iteration=lambda iteration: None)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            PyCI(), marks=pytest.mark.skipif(sys.platform != "linux", reason="PyCI has wheels for Linux only")
        ),
        PySCF(),
    ],
    ids=["pyci", "pyscf"],
)
def test_a_program_starts_from_the_given_determinant(program: Program, folder: Path, proof: IntegralsProof) -> None:
    """An open-shell determinant, not of the first orbitals; the resulting energies are still those of full CI."""
    first = (0, 1, 2, 3, 4, 5, 7), (0, 1, 2, 3, 4, 6, 8)
    task = replace(task_for(proof, folder, eps1=1e-6, name=program.name), first_determinant=first)
    energies = solve(program, task, on_line=quiet, on_iteration=lambda iteration: None)
    begun = energies.iterations[0]
    assert (begun.number, begun.determinants) == (0, 1)
    assert begun.variational_energy == pytest.approx(determinant_energy(task.fcidump, *first), abs=1e-9)
    assert begun.variational_energy > energies.variational_energy
