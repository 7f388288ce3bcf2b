"""Programs that take all there is: processes of a local machine, the controller's disk, files without number."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from blocks.cloud import Machine, MachineState
from blocks.local.machines import MORE_PROCESSES, Machines
from tests.blocks.machine_kit import HEAD, brief, offer, processes, root_pid, until
from tests.processes import kill_each
from tests.security.rows import Row

# Each program is bounded in count and time, whatever becomes of it: at most 2,000 processes and 60 s.
FORKS = """
import os, time
children, until, made = set(), time.monotonic() + 60, 0
open(os.environ["SPOTWAVE_WORK"] + "/up", "w").close()
while time.monotonic() < until and made < 2000:
    while len(children) < 100:  # as many again for each that is killed
        made += 1
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)
        children.add(pid)
    pid, _ = os.waitpid(-1, os.WNOHANG)
    children.discard(pid)
    time.sleep(0.0001)
"""
# One process at any time, and never the same for long.
CHAIN = """
import os, time
until, count = time.monotonic() + 20, 0
open(os.environ["SPOTWAVE_WORK"] + "/up", "w").close()
while time.monotonic() < until and count < 50000:
    count += 1
    if os.fork():
        os._exit(0)
open(os.environ["SPOTWAVE_WORK"] + "/over", "w").close()
"""
HIDDEN = """
import os, sys
for _ in range(2):  # nobody's child
    if os.fork():
        os._exit(0)
    os.setsid()
os.chdir("/")
os.closerange(0, 256)
os.execve("/bin/sleep", ["sleep", "61.25"], {})
"""
ENDS = "touch $SPOTWAVE_WORK/up\n"


def _of(program: str, more: str = "sleep 60\n") -> str:
    return HEAD + f"\"$SPOTWAVE_PYTHON\" - <<'PY'\n{program}\nPY\n{more}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "machines"


def _started(folder: Path, template: str) -> tuple[Machines, Machine]:
    machines = Machines(folder, template)
    machine = machines.launch(offer(), brief())
    until((machines.place(machine) / "work/up").exists)
    return machines, machine


def _hidden() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "61.25"]]


_FORK_BOMB = Row("local machine", "a program that forks again for each child that is killed", "none is left, within s")
_CHAIN = Row("local machine", "a process that forks and ends, again and again", "ended in the midst of it")
_HIDDEN = Row("local machine", "a daemon without environment, parent, files and folder", "found, and ended with it")
_BOUND = Row("local machine", "more processes than a machine needs", "refused by the system, for users other than root")
ROWS = [_FORK_BOMB, _CHAIN, _HIDDEN, _BOUND]


def test_a_fork_bomb_is_ended(folder: Path) -> None:
    machines, machine = _started(folder, _of(FORKS))
    until(lambda: len(processes(machines, machine)) > 100)
    begun = time.monotonic()
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert time.monotonic() - begun < 15, "a second or two"


def test_what_is_always_a_step_ahead_is_ended(folder: Path) -> None:
    machines, machine = _started(folder, _of(CHAIN))
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert not (machines.place(machine) / "work/over").exists(), "it had come to its own end"


def test_a_daemon_that_hides_is_found(folder: Path) -> None:
    machines, machine = _started(folder, _of(HIDDEN, ENDS))
    try:
        until(_hidden)
        until(
            lambda: not psutil.pid_exists(root_pid(machines, machine)) or machines.state(machine) is MachineState.GONE
        )
        assert machines.find() == [machine], "something of it runs"
        assert machines.billed_until(machine) is None
        machines.terminate(machine)
        assert _hidden() == []
        assert machines.find() == []
    finally:
        kill_each(_hidden())


def test_a_machine_may_not_start_processes_without_end(folder: Path) -> None:
    machines, machine = _started(folder, HEAD + "touch $SPOTWAVE_WORK/up\nsleep 60\n")
    soft, hard = psutil.Process(root_pid(machines, machine)).rlimit(psutil.RLIMIT_NPROC)
    assert soft == hard
    assert MORE_PROCESSES < hard < MORE_PROCESSES + 50_000, "beyond what this user has already"
    machines.terminate(machine)
