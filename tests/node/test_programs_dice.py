from __future__ import annotations

import gzip
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spotwave.node.jobs.shci.programs.base import (
    CheckpointMismatch,
    Energies,
    Iteration,
    OutputUnreadable,
    ProgramMissing,
    SolverTask,
    Stage,
)
from spotwave.node.jobs.shci.programs.dice import Dice, input_text
from spotwave.node.jobs.shci.programs.dice_checkpoint import Archive
from spotwave.node.jobs.shci.programs.dice_output import DiceReader
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.runtime.errors import ProgramFailed
from tests.node import fake_dice
from tests.node.busy import busy
from tests.node.chemistry import quiet

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "chemistry" / "dice"
SIZE = 1 << 22  # bytes
LOOKS = 10_000


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put imitations of Dice and mpirun on PATH; return their folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    # Programs inherit only listed variables, so the imitation reads its mode from a file.
    mode = f'DICE_MODE="${{DICE_MODE-$(cat {tmp_path}/mode 2>/dev/null)}}"; export DICE_MODE\n'
    dice = f'#!/bin/sh\n{mode}exec {sys.executable} {fake_dice.__file__} "$@"\n'
    # Every rank runs; only the first one prints, as with the real Dice.
    mpirun = (
        '#!/bin/sh\n[ "$OMPI_ALLOW_RUN_AS_ROOT" = 1 ] && [ "$1" = -np ] || exit 9\nn=$2; shift 2\n'
        'r=1; while [ $r -lt $n ]; do FAKE_RANK=$r DICE_MODE= "$@" >/dev/null & r=$((r + 1)); done\n'
        'FAKE_RANK=0 "$@"; code=$?; wait; exit $code\n'
    )
    for name, text in (("Dice", dice), ("mpirun", mpirun)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return programs


def task_in(folder: Path, *, eps1: float = 1e-3, eps2: float = 1e-5, threads: int = 2) -> SolverTask:
    folder.mkdir(exist_ok=True)
    (folder / "FCIDUMP").write_text("&FCI NORB=4,NELEC=5,MS2=1,\n ORBSYM=1,1,1,1,\n ISYM=1,\n&END\n1.0 0 0 0 0\n")
    return SolverTask(
        fcidump=folder / "FCIDUMP",
        output=folder / "a folder, with a comma",
        checkpoint=folder / "check point",
        log=folder / "dice.log",
        threads=threads,
        memory_gib=1.0,
        eps1=eps1,
        eps2=eps2,
        n_orbitals=4,
        n_electrons=5,
        spin=1,
    )


def run(task: SolverTask) -> Energies:
    return solve(Dice(), task, on_line=quiet, on_iteration=lambda iteration: None)


def test_input_has_alpha_and_beta_spin_orbitals(tmp_path: Path) -> None:
    text = input_text(task_in(tmp_path), restart=False)
    assert "nocc 5\n0 2 4 1 3\nend\n" in text
    assert "deterministic\nepsilon2 1e-05" in text
    assert "fullrestart" not in text
    semistochastic = input_text(task_in(tmp_path, eps2=1e-7), restart=True)
    assert "epsilon2 1e-07\nepsilon2Large 1e-05" in semistochastic
    assert "deterministic" not in semistochastic
    assert semistochastic.endswith("io\nfullrestart\n")


def test_input_has_the_first_determinant(tmp_path: Path) -> None:
    task = replace(task_in(tmp_path), n_electrons=4, first_determinant=((0, 2), (1, 3)))
    assert input_text(task, restart=False).splitlines()[1:3] == ["nocc 4", "0 4 3 7"]


def test_deterministic_run(tmp_path: Path, installed: Path) -> None:
    seen: list[Iteration] = []
    task = task_in(tmp_path / "job")
    energies = solve(Dice(), task, on_line=quiet, on_iteration=seen.append)
    assert energies.variational_energy == pytest.approx(-2.0009)
    assert energies.total_energy == pytest.approx(-2.1009)
    assert energies.error_bar is None
    assert energies.determinants == 1300
    assert energies.version == "1.0 0123456"
    assert [(one.number, one.determinants) for one in seen] == [(1, 1000), (2, 1100), (3, 1200), (4, 1300)]
    assert (task.output / "dice_input.dat").exists()


def test_semistochastic_run_has_an_error_bar(tmp_path: Path, installed: Path) -> None:
    energies = run(task_in(tmp_path / "job", eps2=1e-8))
    assert energies.total_energy == pytest.approx(-2.1209)
    assert energies.error_bar == pytest.approx(4.88e-5)


def test_a_restart_uses_the_collected_files(tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mode").write_text("slow")  # four seconds between iterations, so that the files are collected
    task = task_in(tmp_path / "job", threads=2)

    class Interrupted(BaseException):
        pass

    def interrupt(iteration: Iteration) -> None:
        if iteration.number == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        solve(Dice(), task, on_line=quiet, on_iteration=interrupt)
    state = Dice().checkpoint_state(task.checkpoint)
    assert state is not None
    assert (state.stage, state.iteration, state.determinants) == (Stage.VARIATIONAL, 1, 1000)
    (kept,) = Dice().checkpoint_files(task)
    # On another machine with more cores: the same number of ranks, each of which reads its file.
    (tmp_path / "mode").write_text("")
    other = task_in(tmp_path / "other", threads=8)
    other.checkpoint.mkdir()
    shutil.copy(kept, other.checkpoint)
    energies = run(other)
    assert "fullrestart" in (other.output / "dice_input.dat").read_text()
    assert [one.number for one in energies.iterations] == [1, 2, 3, 4]
    assert energies.variational_energy == pytest.approx(-2.0009)
    with pytest.raises(CheckpointMismatch, match="the checkpoint is of"):
        run(task_in(tmp_path / "other", eps1=2e-3))
    kept.write_bytes(b"not an archive")
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        run(task)


def test_a_crash_is_quoted(tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mode").write_text("crash")
    with pytest.raises(ProgramFailed, match=r"SIGABRT(.|\n)*std::bad_alloc"):
        run(task_in(tmp_path / "job"))


def test_invalid_output_is_refused(tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mode").write_text("garbage")
    with pytest.raises(OutputUnreadable, match=r"PTEnergy(.|\n)*nan"):
        run(task_in(tmp_path / "job"))


@pytest.mark.parametrize("missing", ["Dice", "mpirun"])
def test_a_missing_program_is_reported(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (installed / missing).unlink()
    monkeypatch.setenv("PATH", str(installed))
    with pytest.raises(ProgramMissing, match=f"'{missing}' is not on PATH"):
        run(task_in(tmp_path / "job"))


def read(name: str) -> tuple[DiceReader, list[Iteration]]:
    if not RECORDED.exists():
        pytest.skip("the recordings of Dice are not in ../shared/data")
    reader = DiceReader(Archive({}, 2, []), RECORDED, RECORDED / "unused.tar")
    found = [reader.line(line) for line in (RECORDED / name).read_text().splitlines()]
    return reader, [one for one in found if one is not None]


def test_recorded_semistochastic_output() -> None:
    reader, iterations = read("b.out")
    energies = reader.energies()
    assert energies.variational_energy == -152.2378596484
    assert (energies.total_energy, energies.error_bar) == (-152.2540223160, 4.88e-5)
    assert energies.determinants == 32750
    assert [one.determinants for one in iterations] == [12660, 30357, 32652, 32744, 32750, 32750]
    assert energies.version == "1.0 7816957"
    assert reader.stage is Stage.FINISHED


def test_recorded_deterministic_output() -> None:
    reader, _ = read("det.out")
    energies = reader.energies()
    assert (energies.variational_energy, energies.total_energy) == (-152.2329517191, -152.2538335723)
    assert energies.error_bar is None


def test_recorded_variational_runs_have_no_total_energy() -> None:
    reader, _ = read("a.out")
    with pytest.raises(ValueError, match="PTEnergy"):
        reader.energies()
    _, iterations = read("r.out")  # its first line only shows the stored iteration
    assert [(one.number, one.variational_energy) for one in iterations] == [(1, -152.2329517191), (2, -152.2329517191)]


def test_the_input_equals_the_recorded_one(tmp_path: Path) -> None:
    if not RECORDED.exists():
        pytest.skip("the recordings of Dice are not in ../shared/data")
    task = task_in(tmp_path, eps1=5e-4, eps2=1e-7)
    object.__setattr__(task, "n_electrons", 20)
    object.__setattr__(task, "spin", 0)
    ours = input_text(task, restart=False).split("#variational")[0]
    assert ours == (RECORDED / "b.dat").read_text().split("#variational")[0]
    recorded = {line.split()[0] for line in (RECORDED / "b.dat").read_text().splitlines() if line.strip()}
    assert recorded - {"noio"} <= {line.split()[0] for line in input_text(task, restart=False).splitlines() if line}
    with gzip.open(RECORDED.parent / "FCIDUMP.water_dimer_6-31g.gz", "rt") as file:
        assert file.readline().split()[0] == "&FCI"


@pytest.mark.thorough
def test_restart_files_may_be_rewritten_during_a_copy(tmp_path: Path) -> None:
    """Dice rewrites files in place, emptying them first. Such a copy is discarded."""
    path, target = tmp_path / "0-variational.bkp", tmp_path / "dice.tar"
    archive = Archive({}, 1, [])
    done = [(0.0, Iteration(1, 1, -1.0, 0.0))]
    writing = f"open(path, 'wb').write(bytes({SIZE})); os.utime(path, (n, n)); time.sleep(0.002); os.truncate(path, 0)"
    with busy(f"{writing}; os.utime(path, (n, n))", path):
        for _ in range(LOOKS):
            archive.gather(tmp_path, target, done)
            assert sorted(one.name for one in tmp_path.iterdir() if "tar" in one.name) in ([], ["dice.tar"])
