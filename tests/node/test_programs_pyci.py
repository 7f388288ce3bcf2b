from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.jobs.shci.fcidump import IntegralsProof
from spotwave.node.jobs.shci.programs.base import (
    CheckpointMismatch,
    Iteration,
    SolverStopped,
    SolverTask,
    Stage,
)
from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.runtime.errors import ProgramFailed
from tests.node.chemistry import dump, exact_energy, nitrogen, quiet, task_for
from tests.processes import words

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="PyCI has wheels for Linux only")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pyci")


@pytest.fixture(scope="module")
def small(folder: Path) -> IntegralsProof:
    """N2 in STO-3G: 10 orbitals, 14 electrons, 14,400 determinants in total."""
    return dump(nitrogen(), folder)


@pytest.fixture(scope="module")
def larger(folder: Path) -> tuple[IntegralsProof, Path]:
    """N2 in 6-31G, all electrons: takes about a second with the thresholds of `task_for`."""
    own = folder / "6-31g"
    return dump(nitrogen("6-31g"), own), own


def program_pids() -> list[int]:
    """Return the pids of PyCI programs that are descendants of this process."""
    lines = {process.pid: words(process) for process in psutil.Process().children(recursive=True)}
    return [
        pid
        for pid, line in lines.items()
        if "spotwave.node.jobs.shci.programs.pyci_program" in line and "supervise.py" not in str(line)
    ]


def run(task: SolverTask, threads: int | None = None) -> tuple[list[Iteration], float, float]:
    seen: list[Iteration] = []
    task = task if threads is None else replace(task, threads=threads)
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=seen.append)
    return seen, energies.variational_energy, energies.total_energy


def test_tiny_thresholds_give_full_ci(folder: Path, small: IntegralsProof) -> None:
    task = task_for(small, folder, eps1=1e-8, eps2=1e-10, threads=2, name="fci")
    energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda iteration: None)
    assert energies.variational_energy == pytest.approx(exact_energy(folder / "FCIDUMP"), abs=1e-8)
    assert energies.total_energy == pytest.approx(energies.variational_energy, abs=1e-8)
    assert energies.program == "pyci"
    assert energies.version
    assert energies.error_bar is None


def test_selection_lowers_the_energy_and_the_correction_improves_it(folder: Path, small: IntegralsProof) -> None:
    task = task_for(small, folder, eps1=1e-2, eps2=1e-6, name="coarse")
    lines: list[str] = []
    seen: list[Iteration] = []
    energies = solve(PyCI(), task, on_line=lines.append, on_iteration=seen.append)
    exact = exact_energy(folder / "FCIDUMP")
    assert exact < energies.variational_energy
    assert abs(energies.total_energy - exact) < 0.3 * (energies.variational_energy - exact)
    assert energies.pt2_energy < 0
    assert [one.number for one in seen] == list(range(len(seen)))
    assert all(a.variational_energy > b.variational_energy for a, b in pairwise(seen))
    assert all(a.determinants < b.determinants for a, b in pairwise(seen))
    assert energies.iterations == seen
    assert task.log.read_text().splitlines()[1:] == lines
    assert PyCI().checkpoint_state(task.checkpoint).stage is Stage.FINISHED  # type: ignore[union-attr]


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_a_restart_after_a_kill_gives_the_same_energies(
    larger: tuple[IntegralsProof, Path], tmp_path: Path, threads: int
) -> None:
    proof, folder = larger
    whole = run(task_for(proof, folder, eps1=1e-3, eps2=2e-5, name=f"whole{threads}"), threads)
    task = task_for(proof, folder, eps1=1e-3, eps2=2e-5, name=f"killed{threads}")
    kept: list[Path] = []

    def kill(iteration: Iteration) -> None:
        if iteration.number == 1:
            for file in PyCI().checkpoint_files(task):  # hard links, as on the machine
                kept.append(tmp_path / file.name)
                os.link(file, kept[-1])
            for pid in program_pids():
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(ProgramFailed, match=r"killed by SIGKILL(.|\n)*iteration  1"):
        solve(PyCI(), replace(task, threads=threads), on_line=quiet, on_iteration=kill)
    assert program_pids() == []
    # Another machine: only the kept files, and another number of threads.
    shutil.rmtree(task.checkpoint)
    task.checkpoint.mkdir()
    for file in kept:
        shutil.copy(file, task.checkpoint)
    state = PyCI().checkpoint_state(task.checkpoint)
    assert state is not None
    assert state.stage is Stage.VARIATIONAL
    lines: list[str] = []
    again = solve(PyCI(), replace(task, threads=3 - threads), on_line=lines.append, on_iteration=lambda i: None)
    assert any(line.startswith("restart after iteration") for line in lines)
    assert again.variational_energy == pytest.approx(whole[1], abs=1e-8)
    assert again.total_energy == pytest.approx(whole[2], abs=1e-8)
    assert again.variational_energy <= state.variational_energy + 1e-9
    assert [one.number for one in again.iterations] == [one.number for one in whole[0]]


@pytest.mark.thorough
def test_a_restart_in_the_correction_does_not_select_again(larger: tuple[IntegralsProof, Path]) -> None:
    proof, folder = larger
    task = task_for(proof, folder, eps1=2e-3, eps2=1e-6, name="pt2")

    class Killed(BaseException):
        """As Prefect's TerminationSignal: not an Exception."""

    def listen(line: str) -> None:
        if '"stage": "perturbative"' in line:
            raise Killed

    with pytest.raises(Killed):
        solve(PyCI(), task, on_line=listen, on_iteration=lambda iteration: None)
    assert program_pids() == []
    before = PyCI().checkpoint_state(task.checkpoint)
    assert before is not None
    assert before.stage is Stage.PERTURBATIVE
    lines: list[str] = []
    seen: list[Iteration] = []
    energies = solve(PyCI(), task, on_line=lines.append, on_iteration=seen.append)
    assert energies.variational_energy == before.variational_energy
    assert not [line for line in lines if line.startswith("iteration")]
    assert seen[-1].number == before.iteration
    # Once more, from a finished snapshot.
    assert solve(PyCI(), task, on_line=quiet, on_iteration=lambda i: None).total_energy == energies.total_energy


def test_a_checkpoint_of_another_calculation_is_refused(folder: Path, small: IntegralsProof, tmp_path: Path) -> None:
    task = task_for(small, folder, eps1=1e-2, eps2=1e-4, name="mine")
    run(task)
    with pytest.raises(ProgramFailed, match="the checkpoint is of"):
        run(replace(task, eps1=2e-2))
    other = dump(nitrogen().model_copy(update={"molecule": "N 0 0 0; N 0 0 1.3"}), tmp_path)
    elsewhere = replace(task_for(other, tmp_path, eps1=1e-2, eps2=1e-4), checkpoint=task.checkpoint)
    with pytest.raises(ProgramFailed, match="does not solve this Hamiltonian"):
        run(elsewhere)
    (file,) = PyCI().checkpoint_files(task)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        PyCI().checkpoint_state(task.checkpoint)
    with pytest.raises(ProgramFailed, match="cannot be read"):
        run(task)


def changed(file: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Rewrite a snapshot. change: function that modifies its state and arrays."""
    with np.load(file) as stored:
        arrays = dict(stored)
    state = json.loads(arrays.pop("state").tobytes())
    change(state, arrays)
    np.savez(file.with_suffix(""), state=np.frombuffer(json.dumps(state).encode(), dtype=np.uint8), **arrays)


def test_a_smaller_eps1_continues_a_finished_snapshot(folder: Path, small: IntegralsProof) -> None:
    fresh = run(task_for(small, folder, eps1=1e-3, eps2=1e-6, name="fine from the beginning"))
    task = task_for(small, folder, eps1=1e-2, eps2=1e-6, name="coarse, then fine")
    coarse = run(task)
    seen, variational, total = run(replace(task, eps1=1e-3))
    assert [one.determinants for one in seen[: len(coarse[0])]] == [one.determinants for one in coarse[0]]
    assert len(seen) > len(coarse[0])
    assert variational < coarse[1] - 1e-5
    assert fresh[1] - 1e-3 < variational < fresh[1] + 1e-6, "it keeps determinants that a new run would not select"
    assert total == pytest.approx(fresh[2], abs=1e-4)
    with pytest.raises(ProgramFailed, match="the checkpoint is of"):
        run(task)  # the wave function is of the smaller eps1 now


def test_the_total_energy_of_a_snapshot_is_recomputed(folder: Path, small: IntegralsProof) -> None:
    """If it is altered, or of another eps2, the correction is recomputed."""
    task = task_for(small, folder, eps1=1e-2, eps2=1e-6, name="finished")
    _, variational, total = run(task)
    (file,) = PyCI().checkpoint_files(task)

    def better(state: dict[str, Any], arrays: dict[str, Any]) -> None:
        state["total_energy"] -= 0.1

    changed(file, better)
    assert run(task)[1:] == (variational, pytest.approx(total, abs=1e-10))
    coarse = run(replace(task, eps2=1e-3))[2]
    assert coarse == pytest.approx(run(task_for(small, folder, eps1=1e-2, eps2=1e-3, name="fresh"))[2], abs=1e-10)
    assert abs(coarse - total) > 1e-5


def test_the_error_of_the_threshold_is_estimated(folder: Path, small: IntegralsProof) -> None:
    """The estimate is not below the error, and not uselessly large."""
    right = run(task_for(small, folder, eps1=1e-2, eps2=1e-10, name="everything"))[2]
    errors = []
    for eps2 in (1e-3, 1e-4):
        task = task_for(small, folder, eps1=1e-2, eps2=eps2, name=f"eps2-{eps2:g}")
        energies = solve(PyCI(), task, on_line=quiet, on_iteration=lambda iteration: None)
        assert energies.threshold_error is not None
        assert abs(energies.total_energy - right) <= energies.threshold_error
        errors.append(energies.threshold_error)
    assert errors[1] < errors[0] < 1e-2
    nothing = task_for(small, folder, eps1=1e-2, eps2=1e-2, name="no correction")
    assert solve(PyCI(), nothing, on_line=quiet, on_iteration=lambda iteration: None).threshold_error is None


def test_a_duplicate_determinant_is_refused(folder: Path, small: IntegralsProof) -> None:
    task = task_for(small, folder, eps1=1e-2, eps2=1e-6, name="twice")
    run(task)
    (file,) = PyCI().checkpoint_files(task)

    def twice(state: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["determinants"] = np.concatenate([arrays["determinants"], arrays["determinants"][-1:]])
        arrays["coefficients"] = np.concatenate([arrays["coefficients"], [0.0]])

    changed(file, twice)
    with pytest.raises(ProgramFailed, match="contains a determinant twice"):
        run(task)


def test_the_program_stops_on_request(larger: tuple[IntegralsProof, Path]) -> None:
    proof, folder = larger
    task = task_for(proof, folder, eps1=1e-5, eps2=1e-7, name="stopped")
    with pytest.raises(SolverStopped):
        solve(
            PyCI(),
            task,
            on_line=quiet,
            on_iteration=lambda iteration: None,
            should_stop=lambda: bool(PyCI().checkpoint_files(task)),
        )
    assert program_pids() == []


def test_lack_of_memory_is_reported(larger: tuple[IntegralsProof, Path]) -> None:
    proof, folder = larger
    task = task_for(proof, folder, eps1=1e-5, eps2=1e-6, name="memory", memory_gib=0.05)
    with pytest.raises(ProgramFailed, match=r"more than 0\.05 GiB|bad_alloc"):
        run(task)


@pytest.mark.parametrize(
    ("molecule", "spin", "charge"), [("H 0 0 0", 1, 0), ("He 0 0 0", 0, 0), ("H 0 0 0; H 0 0 0.74", 2, 0)]
)
def test_smallest_systems(tmp_path: Path, molecule: str, spin: int, charge: int) -> None:
    calculation = Calculation(molecule=molecule, spin=spin, charge=charge, basis="sto-3g")
    proof = dump(calculation, tmp_path)
    seen, variational, total = run(task_for(proof, tmp_path))
    assert variational == pytest.approx(exact_energy(tmp_path / "FCIDUMP"), abs=1e-10)
    assert total == pytest.approx(variational, abs=1e-12)
    assert seen[0].determinants == 1


def test_unpaired_electrons(tmp_path: Path) -> None:
    oxygen = Calculation(molecule="O 0 0 0; O 0 0 1.2", basis="sto-3g", spin=2)
    proof = dump(oxygen, tmp_path)
    assert proof.spin == 2
    _, _, total = run(task_for(proof, tmp_path, eps1=1e-6, eps2=1e-9))
    assert total == pytest.approx(exact_energy(tmp_path / "FCIDUMP"), abs=1e-8)
