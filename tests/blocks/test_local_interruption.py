"""Interruption of local machines, and shutdown of their computer."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil

from spotwave.blocks.local.machines import Machines
from spotwave.blocks.models import MachineState
from tests.blocks.machine_kit import HEEDING, IDLE, WITH_DAEMON, brief, offer, processes, root_pid, running, until, up


def test_machine_reacts_to_a_notice(folder: Path) -> None:
    machines, machine = running(folder, HEEDING)
    machines.interrupt(machine, notice_s=120)  # returns as soon as the machine has ended
    notice = json.loads((machines.place(machine) / "work/saved.json").read_text())
    assert notice["action"] == "terminate"
    assert notice["time"] > time.time() + 60
    assert machines.state(machine) is MachineState.INTERRUPTED
    assert processes(machines, machine) == []
    machines.terminate(machine)
    assert machines.state(machine) is MachineState.GONE


def test_machine_ignores_a_notice(folder: Path) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    place = machines.place(machine)
    taking = threading.Thread(target=machines.interrupt, args=(machine, 1.5))
    taking.start()
    until((place / "notice.json").exists)
    seen = machines.state(machine)
    taking.join()
    assert seen is MachineState.RUNNING  # as in clouds, until the time of the notice
    assert machines.state(machine) is MachineState.INTERRUPTED
    assert processes(machines, machine) == []
    assert not (place / "secrets").exists()


def test_interruption_without_notice(folder: Path) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    machines.interrupt(machine, None)
    assert not (machines.place(machine) / "notice.json").exists()
    assert machines.state(machine) is MachineState.INTERRUPTED
    assert processes(machines, machine) == []


def test_shutdown_with_the_computer_is_no_interruption(folder: Path) -> None:
    """Whether or not the machine reacts to the notice."""
    heeding, ignoring = Machines(folder, HEEDING), Machines(folder, WITH_DAEMON)
    for machines, attempt, notice_s in ((heeding, 1, 120.0), (ignoring, 2, 0.5)):
        [machine] = machines.launch(offer(), brief(attempt=attempt))
        place = machines.place(machine)
        up(place)
        machines.shut_down(machine, notice_s)
        assert json.loads((place / "notice.json").read_text())["action"] == "shutdown"
        assert machines.state(machine) is MachineState.HOST_DOWN
        assert processes(machines, machine) == []
        assert not (place / "secrets").exists()
        machines.terminate(machine)
        assert machines.state(machine) is MachineState.GONE


def test_machine_ended_by_a_reboot_was_not_interrupted(folder: Path) -> None:
    machines, machine = running(folder, IDLE)
    place = machines.place(machine)
    os.killpg(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: processes(machines, machine) == [])
    root = json.loads((place / "root.json").read_text())
    (place / "root.json").write_text(json.dumps({**root, "started": psutil.boot_time() - 3600}))
    assert machines.state(machine) is MachineState.HOST_DOWN
    ended = json.loads((place / "ended.json").read_text())
    (place / "ended.json").write_text(json.dumps({**ended, "at": psutil.boot_time() - 60}))
    assert machines.state(machine) is MachineState.GONE, "it had ended before the reboot"
