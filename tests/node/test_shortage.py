"""Detection of a shortage of memory or disk, as opposed to a crash of a program, with real failures of each kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from spotwave.node.jobs.shci.programs.pyci import PyCI
from spotwave.node.jobs.shci.programs.run import solve
from spotwave.node.outcome import Cause
from spotwave.node.runtime.errors import ProgramFailed
from spotwave.node.runtime.shortage import lacking
from tests.faults.disks import fill, may_mount, mounted
from tests.node.chemistry import dump, nitrogen, quiet, task_for
from tests.node.small_group import small_group
from tests.node.test_programs_run import run, script

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="errors as on Linux")

ABORTS = """
import os, sys
sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\\n  what():  std::bad_alloc\\n")
sys.stderr.flush()
os.abort()
"""
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
b"x" * (1 << 30)
"""
FULL = "with open('/dev/full', 'wb', buffering=0) as disk: disk.write(b'x')"
REPORTED_AS_TEXT = "import sys; sys.exit('fork: Cannot allocate memory')"
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
CRASHED = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
MISTAKEN = "import sys; sys.exit('no convergence, sorry')"


@pytest.mark.parametrize(
    ("text", "cause", "signal", "exit_status"),
    [
        (ABORTS, Cause.MEMORY, 6, None),
        (LIMITED, Cause.MEMORY, None, 1),
        (REPORTED_AS_TEXT, Cause.MEMORY, None, 1),
        (FULL, Cause.DISK, None, 1),
        (KILLED, Cause.PROGRAM, 9, None),
        (CRASHED, Cause.PROGRAM, 11, None),
        (MISTAKEN, None, None, 1),
    ],
    ids=["std::bad_alloc", "MemoryError", "reported as text", "full disk", "killed", "crashed", "mistaken"],
)
def test_the_cause_of_a_programs_end_is_detected(
    tmp_path: Path, text: str, cause: Cause | None, signal: int | None, exit_status: int | None
) -> None:
    with pytest.raises(ProgramFailed) as ended:
        run(script(tmp_path, text), tmp_path)
    assert (ended.value.cause, ended.value.signal, ended.value.exit_status) == (cause, signal, exit_status)


@pytest.mark.parametrize("victim", ["itself", "a fork of it"])
def test_the_oom_killer_is_detected(tmp_path: Path, victim: str) -> None:
    """There is no message; only the kernel's counter shows it."""
    with small_group(32) as procs:
        eats = f"import os; open({str(procs)!r}, 'w').write(str(os.getpid())); b'x' * (1 << 30)"
        forks = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {eats!r}]).returncode and 1)"
        with pytest.raises(ProgramFailed, match="out of memory") as ended:
            run(script(tmp_path, eats if victim == "itself" else forks), tmp_path)
    assert ended.value.cause is Cause.MEMORY
    assert ended.value.signal == (9 if victim == "itself" else None)


@pytest.mark.thorough
def test_a_bundled_program_reports_its_shortage(tmp_path: Path) -> None:
    proof = dump(nitrogen(), tmp_path)
    task = task_for(proof, tmp_path, memory_gib=0.02)
    with pytest.raises(ProgramFailed) as ended:
        solve(PyCI(), task, on_line=quiet, on_iteration=lambda iteration: None)
    assert ended.value.cause is Cause.MEMORY
    if not may_mount():
        return
    full = task_for(proof, tmp_path, name="full")
    full.checkpoint.mkdir(parents=True)
    with mounted(full.checkpoint, 1):
        fill(full.checkpoint)
        with pytest.raises(ProgramFailed, match="the disk is full") as ended:
            solve(PyCI(), full, on_line=quiet, on_iteration=lambda iteration: None)
    assert ended.value.cause is Cause.DISK


def too_large() -> None:
    np.ones((1 << 45,))


def full_file() -> None:
    with Path("/dev/full").open("wb", buffering=0) as disk:
        disk.write(b"x")


def full_in_a_library() -> None:
    """PySCF transforms integrals through HDF5."""
    with h5py.File("/dev/full", "w") as file:
        file["numbers"] = np.ones(1000)


def wrapped() -> None:
    try:
        full_file()
    except OSError as error:
        raise ValueError("the integrals could not be written") from error


def something_else() -> None:
    raise RuntimeError("wfn is empty")


@pytest.mark.parametrize(
    ("fails", "cause"),
    [
        (too_large, Cause.MEMORY),
        (full_file, Cause.DISK),
        (wrapped, Cause.DISK),
        (full_in_a_library, Cause.DISK),
        (something_else, None),
        (lambda: Path("/nowhere").read_text(), None),
    ],
)
def test_the_shortage_behind_an_exception_is_detected(fails: Callable[[], Any], cause: Cause | None) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the types differ
        fails()
    assert lacking(raised.value) is cause
