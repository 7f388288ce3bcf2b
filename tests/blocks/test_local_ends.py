"""Time of a local machine's end, as used for its bill."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spotwave.blocks.local.machines import Machines
from spotwave.blocks.models import Machine, MachineState
from tests.blocks.machine_kit import HEAD, IDLE, WITH_DAEMON, brief, offer, processes, root_pid, running, until, up
from tests.faults.disks import fill, forget_read_only, free, make_read_only, may_mount, mounted

NEAR_S = 0.4  # tolerance: the end of a process that is not a child is found by polling
ENDS_ITSELF = HEAD + 'touch "$SPOTWAVE_WORK/up"\nsleep 0.5\nprintf . >&"$SPOTWAVE_LAST_ACT"\n'  # like the bootstrap


def end_of(machines: Machines, machine: Machine) -> float:
    at = machines.billed_until(machine)
    assert at is not None
    return at.timestamp()


def much_later(ends: list[float]) -> None:
    """Wait long enough to distinguish the time of the check from that of the end."""
    until(lambda: time.time() > ends[0] + 2 * NEAR_S)


@pytest.mark.parametrize("by", ["us", "cloud", "host"])
def test_end_is_the_moment_of_the_power_off(folder: Path, by: str) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    assert machines.billed_until(machine) is None
    with watched(machines, machine) as ends:
        if by == "us":
            machines.terminate(machine)
        elif by == "host":
            machines.shut_down(machine, 0.0)
        else:
            machines.interrupt(machine, None)
    recorded = end_of(machines, machine)
    assert abs(recorded - ends[0]) < NEAR_S
    machines.terminate(machine)
    machines.state(machine)
    assert end_of(machines, machine) == recorded, "it does not change later"


def test_machine_that_ends_itself_records_the_time(folder: Path) -> None:
    """The recorded time does not depend on when it is read."""
    machines, machine = running(folder, ENDS_ITSELF)
    with watched(machines, machine) as ends:
        pass
    much_later(ends)
    assert abs(end_of(machines, machine) - ends[0]) < NEAR_S
    assert machines.state(machine) is MachineState.GONE
    machines.terminate(machine)
    assert abs(end_of(machines, machine) - ends[0]) < NEAR_S
    [later] = machines.launch(offer(), brief(attempt=2))
    up(machines.place(later))
    with watched(machines, later) as ends:
        pass
    much_later(ends)
    machines.terminate(later)
    assert abs(end_of(machines, later) - ends[0]) < NEAR_S, "terminated before its state was read"


@pytest.mark.skipif(not may_mount(), reason="only root may mount")
@pytest.mark.parametrize("spoilt", ["full", "read-only"])
def test_end_is_recorded_on_a_full_or_read_only_disk(folder: Path, spoilt: str) -> None:
    folder.mkdir()
    with mounted(folder, 1):
        machines = Machines(folder, ENDS_ITSELF)
        [machine] = machines.launch(offer(), brief())
        up(machines.place(machine))
        if spoilt == "full":
            fill(folder)
        else:
            make_read_only(machines.place(machine), root_pid(machines, machine))
        with watched(machines, machine) as ends:
            pass
        much_later(ends)
        if spoilt == "full":
            free(folder)
        else:
            forget_read_only(machines.place(machine))
        assert abs(end_of(machines, machine) - ends[0]) < NEAR_S


def test_real_bootstrap_records_its_end(folder: Path) -> None:
    """The machine finds no code on its remote, and gives up."""
    machines = Machines(folder)
    [machine] = machines.launch(offer(), brief())
    with watched(machines, machine) as ends:
        pass
    assert "bootstrap failed" in (machines.place(machine) / "console.log").read_text()
    much_later(ends)
    assert abs(end_of(machines, machine) - ends[0]) < NEAR_S


KILLED_IN_THE_MIDST = """
import os, pathlib, sys
from spotwave.blocks.cloud import Machine
from spotwave.blocks.local import machines
end = machines.kill_marked
machines.kill_marked = lambda mark: (end(mark), os.kill(os.getpid(), 9))
machines.Machines(pathlib.Path(sys.argv[1])).terminate(Machine.model_validate_json(sys.argv[2]))
"""


@pytest.mark.parametrize("looked_at", [True, False], ids=["looked at", "terminated again"])
def test_end_is_recorded_if_the_terminating_process_was_killed(folder: Path, looked_at: bool) -> None:
    """The next call comes later, but the machine had ended before."""
    machines, machine = running(folder, WITH_DAEMON)
    with watched(machines, machine) as ends:
        begun = time.time()
        command = [sys.executable, "-c", KILLED_IN_THE_MIDST, str(folder), machine.model_dump_json()]
        assert subprocess.run(command).returncode == -signal.SIGKILL
    much_later(ends)
    if looked_at:
        assert machines.state(machine) is MachineState.GONE
    else:
        machines.terminate(machine)
    assert begun <= end_of(machines, machine) <= ends[0]


def test_end_of_a_killed_machine_is_when_it_was_observed(folder: Path) -> None:
    machines, machine = running(folder, IDLE)
    with watched(machines, machine) as ends:
        os.killpg(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    seen = time.time()
    much_later([seen])
    assert ends[0] - 0.01 <= end_of(machines, machine) <= seen


def test_processes_that_outlive_the_first_one_bill(folder: Path) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    os.kill(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    assert machines.billed_until(machine) is None
    before = time.time()
    machines.terminate(machine)
    assert before <= end_of(machines, machine) <= time.time()


@contextmanager
def watched(machines: Machines, machine: Machine) -> Iterator[list[float]]:
    """Yield a list that has, after the block, the time at which the kernel reported the first process's end."""
    root = next(one for one in processes(machines, machine) if one.ppid() == os.getpid())
    descriptor, ends = os.pidfd_open(root.pid), list[float]()

    def wait() -> None:
        select.select([descriptor], [], [], 30)
        ends.append(time.time())

    waiting = threading.Thread(target=wait)
    waiting.start()
    yield ends
    waiting.join()
    os.close(descriptor)
