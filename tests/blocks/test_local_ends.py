"""When a local machine ended, as its bill is told it."""

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

NEAR_S = 0.4  # a process that is nobody's child here is seen to end by looks at it
ENDS_ITSELF = HEAD + 'touch "$SPOTWAVE_WORK/up"\nsleep 0.5\nprintf . >&"$SPOTWAVE_LAST_ACT"\n'  # as the bootstrap


def told_end(machines: Machines, machine: Machine) -> float:
    at = machines.billed_until(machine)
    assert at is not None
    return at.timestamp()


def much_later(ends: list[float]) -> None:
    """So late that the time of the look could not be taken for that of the end."""
    until(lambda: time.time() > ends[0] + 2 * NEAR_S)


@pytest.mark.parametrize("by", ["us", "cloud", "host"])
def test_the_end_is_the_moment_at_which_the_power_was_cut(folder: Path, by: str) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    assert machines.billed_until(machine) is None
    with watched(machines, machine) as ends:
        if by == "us":
            machines.terminate(machine)
        elif by == "host":
            machines.shut_down(machine, 0.0)
        else:
            machines.interrupt(machine, None)
    told = told_end(machines, machine)
    assert abs(told - ends[0]) < NEAR_S
    machines.terminate(machine)
    machines.state(machine)
    assert told_end(machines, machine) == told, "once and for all"


def test_a_machine_that_ends_itself_records_the_time(folder: Path) -> None:
    """However late anybody looks."""
    machines, machine = running(folder, ENDS_ITSELF)
    with watched(machines, machine) as ends:
        pass
    much_later(ends)
    assert abs(told_end(machines, machine) - ends[0]) < NEAR_S
    assert machines.state(machine) is MachineState.GONE
    machines.terminate(machine)
    assert abs(told_end(machines, machine) - ends[0]) < NEAR_S
    [later] = machines.launch(offer(), brief(attempt=2))
    up(machines.place(later))
    with watched(machines, later) as ends:
        pass
    much_later(ends)
    machines.terminate(later)
    assert abs(told_end(machines, later) - ends[0]) < NEAR_S, "terminated before anybody looked"


@pytest.mark.skipif(not may_mount(), reason="only root may mount")
@pytest.mark.parametrize("spoilt", ["full", "read-only"])
def test_the_time_of_its_end_is_recorded_on_a_disk_that_is_full_or_read_only(folder: Path, spoilt: str) -> None:
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
        assert abs(told_end(machines, machine) - ends[0]) < NEAR_S


def test_the_real_bootstrap_dates_its_end(folder: Path) -> None:
    """That of a machine which finds no code on its remote, and gives up."""
    machines = Machines(folder)
    [machine] = machines.launch(offer(), brief())
    with watched(machines, machine) as ends:
        pass
    assert "bootstrap failed" in (machines.place(machine) / "console.log").read_text()
    much_later(ends)
    assert abs(told_end(machines, machine) - ends[0]) < NEAR_S


KILLED_IN_THE_MIDST = """
import os, pathlib, sys
from spotwave.blocks.cloud import Machine
from spotwave.blocks.local import machines
end = machines.kill_marked
machines.kill_marked = lambda mark: (end(mark), os.kill(os.getpid(), 9))
machines.Machines(pathlib.Path(sys.argv[1])).terminate(Machine.model_validate_json(sys.argv[2]))
"""


@pytest.mark.parametrize("looked_at", [True, False], ids=["looked at", "terminated again"])
def test_a_terminator_that_is_killed_before_it_has_dated_the_end(folder: Path, looked_at: bool) -> None:
    """The next one comes later, and the machine has not lived until then."""
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
    assert begun <= told_end(machines, machine) <= ends[0]


def test_a_machine_that_was_killed_ended_when_it_was_seen(folder: Path) -> None:
    machines, machine = running(folder, IDLE)
    with watched(machines, machine) as ends:
        os.killpg(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    seen = time.time()
    much_later([seen])
    assert ends[0] - 0.01 <= told_end(machines, machine) <= seen


def test_what_outlives_the_first_process_bills(folder: Path) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    os.kill(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    assert machines.billed_until(machine) is None
    before = time.time()
    machines.terminate(machine)
    assert before <= told_end(machines, machine) <= time.time()


@contextmanager
def watched(machines: Machines, machine: Machine) -> Iterator[list[float]]:
    """When the first process ended, by the kernel; there after the block."""
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
