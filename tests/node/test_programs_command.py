"""A program provided by the user, fetched from a git repository and built."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from spotwave.node.jobs.shci.calculation import CommandProgram
from spotwave.node.jobs.shci.programs.base import Energies, ProgramMissing, SolverTask
from spotwave.node.jobs.shci.programs.command import Command
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.runtime.errors import ProgramFailed
from tests.node.busy import busy
from tests.node.chemistry import quiet
from tests.node.test_programs_run import task_in

SIZE = 1000  # bytes
LOOKS = 2000

PROGRAM = """#!/bin/sh
echo "variational energy: -1.25"
echo "determinants 12,345"
[ -f "$2/state" ] && echo "restarted from $(cat "$2/state")"
echo "total energy = -1.5 +- 0.0002"
"""


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """A git repository whose build creates ./bin/shci; its path and commit."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "shci.in").write_text(PROGRAM)

    def git(*arguments: str) -> str:
        who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return subprocess.run(
            ["git", *arguments], cwd=source, check=True, capture_output=True, text=True, env=os.environ | who
        ).stdout.strip()

    git("init", "--quiet")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    return source, git("rev-parse", "HEAD")


def command(repository: tuple[Path, str], **change: str) -> CommandProgram:
    source, commit = repository
    values = {
        "line": "./bin/shci {fcidump} {checkpoint}",
        "git_url": f"file://{source}",
        "commit": commit,
        "build": "mkdir bin && cp shci.in bin/shci && chmod +x bin/shci && echo built >> builds",
        "determinants": r"determinants ([\d,]+)",
        "error_bar": r"\+- (\S+)",
    }
    return CommandProgram.model_validate(values | change)


def run(program: CommandProgram, task: SolverTask) -> Energies:
    return solve(Command(program), task, on_line=quiet, on_iteration=lambda iteration: None)


def test_a_program_is_fetched_built_once_and_run(tmp_path: Path, repository: tuple[Path, str]) -> None:
    task = task_in(tmp_path)
    for _ in range(2):
        energies = run(command(repository), task)
        assert (energies.variational_energy, energies.total_energy, energies.error_bar) == (-1.25, -1.5, 2e-4)
        assert energies.determinants == 12345
        assert energies.version == repository[1][:12]
    (builds,) = (tmp_path / "programs").glob("*/builds")
    assert builds.read_text() == "built\n"


def test_a_failed_build_is_quoted_and_retried(tmp_path: Path, repository: tuple[Path, str]) -> None:
    broken = command(repository, build="echo compiling; echo 'shci.cpp:1: error: no MPI' >&2; exit 2")
    for _ in range(2):
        with pytest.raises(ProgramFailed, match=r"exit code 2(.|\n)*error: no MPI"):
            run(broken, task_in(tmp_path))


def test_an_unknown_commit_or_repository_is_quoted(tmp_path: Path, repository: tuple[Path, str]) -> None:
    with pytest.raises(ProgramFailed, match=r"git(.|\n)*fetch"):
        run(command(repository, commit="0" * 40), task_in(tmp_path))
    with pytest.raises(ProgramFailed, match="not-there"):
        run(command(repository, git_url=f"file://{tmp_path}/not-there"), task_in(tmp_path))


def test_a_build_without_the_program_is_an_error(tmp_path: Path, repository: tuple[Path, str]) -> None:
    with pytest.raises(ProgramMissing, match=r"did not produce '.*bin/other'"):
        run(command(repository, line="./bin/other {fcidump}"), task_in(tmp_path))


def test_unchanged_checkpoint_files_are_kept(tmp_path: Path) -> None:
    task = task_in(tmp_path)
    writer = (
        "sh -c 'echo one > $1/state; touch $1/.hidden; i=0; while [ $i -lt 40 ]; do date +%N >> $1/growing; "
        "sleep 0.1; i=$((i+1)); done; echo variational energy: -1.0; echo total energy: -1.1' x {checkpoint} {fcidump}"
    )
    program = Command(CommandProgram(line=writer))
    solve(program, task, on_line=quiet, on_iteration=lambda iteration: None)
    (kept,) = program.checkpoint_files(task)
    assert (kept.name, kept.read_text()) == ("state", "one\n")
    # Restored under the same name, it is where the program reads it.
    (task.checkpoint / "state").unlink()
    restart = Command(CommandProgram(line="cat {checkpoint}/state {fcidump}"))
    assert Path(restart.prepare(task)[1]).read_text() == "one\n"
    assert time.time() - kept.stat().st_mtime > 2  # a copy keeps the time of the original


def test_a_checkpoint_file_may_vanish_during_a_copy(tmp_path: Path) -> None:
    """The program replaces and removes the file all the time."""
    task = task_in(tmp_path)
    reader = Command(CommandProgram(line="true {checkpoint} {fcidump}")).reader(task)
    path = task.checkpoint / "state"
    path.parent.mkdir(exist_ok=True)
    writing = f"open(path + '.new', 'wb').write(bytes({SIZE})); os.utime(path + '.new', (n, n))"
    with busy(f"{writing}; time.sleep(0.001); os.replace(path + '.new', path); os.unlink(path)", path):
        for _ in range(LOOKS):
            reader.tick()
    kept = list((task.checkpoint / ".kept").glob("*"))
    assert [one.name for one in kept if one.stat().st_size != SIZE] == [], "truncated copies"
