"""Hostile files that a user's program leaves in its checkpoint folder while it runs: the calculation continues."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from spotwave.node.jobs.shci.calculation import CommandProgram
from spotwave.node.jobs.shci.programs.base import Energies, SolverTask
from spotwave.node.jobs.shci.programs.command import Command
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.jobs.shci.watch import SolverWatch
from tests.node.chemistry import quiet
from tests.security.rows import Row
from tests.security.tried import params, rows_of

GOES_ON = "the calculation continues, and its valid checkpoint file is kept"
ENDS_WELL = "the calculation ends normally with its energies"

# {c}: the checkpoint folder, {o}: the working folder. Files must be unchanged for two seconds to be kept.
LEAVES: list[tuple[str, str, str]] = [
    ("a file's name has 255 bytes", "open(c + '/' + 'x' * 255, 'w').write('x')", GOES_ON),
    ("a file's name has a tab and Latin-1", "open(os.fsencode(c) + b'/a\\tb\\xff', 'w').write('x')", GOES_ON),
    ("a terabyte of holes", "os.truncate(os.open(c + '/sparse', os.O_CREAT | os.O_RDWR), 10**12)", GOES_ON),
    ("a pipe", "os.mkfifo(c + '/pipe')", GOES_ON),
    ("a link to itself", "os.symlink(c + '/loop', c + '/loop')", GOES_ON),
    ("a link to an endless file", "os.symlink('/dev/zero', c + '/zero')", GOES_ON),
    ("a link to a file outside", "os.symlink('/etc/passwd', c + '/link')", GOES_ON),
    ("a folder in the place of the copy", "os.makedirs(c + '/.kept/wave/below')", GOES_ON),
    (
        "a pipe in the place of the copy's draft",
        "os.makedirs(c + '/.kept'); os.mkfifo(c + '/.kept/.wave.part')",
        GOES_ON,
    ),
    ("a file in the place of the copies' folder", "open(c + '/.kept', 'w')", GOES_ON),
    ("removes its folders", "shutil.rmtree(c); shutil.rmtree(o)", ENDS_WELL),
    ("its checkpoint folder becomes a file", "shutil.rmtree(c); open(c, 'w')", ENDS_WELL),
    ("its checkpoint folder becomes a link to /etc", "shutil.rmtree(c); os.symlink('/etc', c)", ENDS_WELL),
]
ROWS = rows_of("program", LEAVES)


def run(folder: Path, script: str) -> tuple[Energies, list[str]]:
    """Run the program as a job does; return the energies and the names of the sealed files."""
    (folder / "program.py").write_text(
        "import os, shutil, sys, time\nc, o = sys.argv[2], os.getcwd()\n"
        f"open(c + '/wave', 'w').write('good')\n{script}\n"
        "limit = time.time() + (8 if os.path.isdir(c) and not os.path.islink(c) else 1)\n"
        "while time.time() < limit and not os.path.isfile(c + '/.kept/wave'): time.sleep(0.1)\n"
        "time.sleep(0.6)\n"  # two more checks of the agent
        "print('variational energy: -1.0')\nprint('total energy: -1.5')\n"
    )
    program = Command(CommandProgram(line=f"{sys.executable} {folder}/program.py {{fcidump}} {{checkpoint}}"))
    task = SolverTask(
        fcidump=folder / "FCIDUMP",
        output=folder / "solver",
        checkpoint=folder / "checkpoint",
        log=folder / "shci.log",
        threads=1,
        memory_gib=1.0,
        eps1=1e-3,
        eps2=1e-5,
        n_orbitals=2,
        n_electrons=2,
    )
    sealed: list[str] = []
    watch = SolverWatch(
        program,
        task,
        log=quiet,
        tell=lambda percent, note: None,
        seal=lambda files, energy: sealed.extend(file.name for file in files),
        asked_to_stop=lambda: False,
    )
    energies = solve(program, task, on_line=watch.line, on_iteration=watch.iteration, should_stop=watch.should_stop)
    return energies, sealed


@pytest.mark.parametrize(("row", "script"), params(ROWS, [one[1] for one in LEAVES]))
def test_files_of_program_do_not_end_calculation(row: Row, script: str, tmp_path: Path) -> None:
    started = time.monotonic()
    energies, sealed = run(tmp_path, script)
    assert energies.total_energy == -1.5
    assert time.monotonic() - started < 60
    assert set(sealed) <= {"wave"}
    if row.outcome == GOES_ON:
        assert sealed
        assert (tmp_path / "checkpoint/.kept/wave").read_text() == "good"
    assert not (tmp_path / "checkpoint/.kept/link").exists()
    assert not os.path.exists("/etc/.kept")
