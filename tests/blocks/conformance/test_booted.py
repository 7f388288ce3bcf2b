"""Machines that boot: their user data runs with an emulated metadata service, and they end in every possible way."""

from __future__ import annotations

import json
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from spotwave.blocks.models import Machine, MachineState
from tests.blocks.conformance.wing import PLANTED, SECRETS, RentedWing, brief
from tests.blocks.machine_kit import CLOUD_HEAD, old, until
from tests.emulators.computer import Computer
from tests.emulators.server import cut
from tests.processes import kill_each, words

SOURCES = Path(__file__).parents[3] / "src"
NOTICE_S = 5.0

IDLE = CLOUD_HEAD + "touch up\nexec sleep 600\n"
READS_ITS_SECRET = CLOUD_HEAD + 'python3 cloud.py secrets "$SPOTWAVE_WORK/kept"\ntouch up\nexec sleep 600\n'
ENDS_ITSELF = CLOUD_HEAD + "python3 cloud.py end\n"
POWERS_OFF = CLOUD_HEAD + "poweroff\n"
# Uses the real watcher.
WATCHES = (
    CLOUD_HEAD
    + f"""exec env PYTHONPATH={SOURCES} "$SPOTWAVE_OPT/bin/python" - <<'PY'
import os, signal, time
from spotwave.node.agent.notice import notice_watcher
from spotwave.node.agent.notice.aws import AwsNotice

def write(name, text):
    with open(name + ".part", "w") as out:
        out.write(text)
    os.rename(out.name, name)

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Google also signals by ACPI
AwsNotice.pause_s = 0.1
watcher = notice_watcher(30.0)
write("up", "")
while (notice := watcher.poll()) is None:
    time.sleep(0.02)
write("noticed", str(notice.time))
time.sleep(600)
PY
"""
)


def booted(booting: RentedWing, template: str) -> tuple[Machine, Computer]:
    [machine] = booting.machines(template).launch(booting.offer, brief())
    return machine, booting.computer(machine)


def up(computer: Computer) -> None:
    until((computer.work / "up").exists)


def nothing_is_left(booting: RentedWing, computer: Computer) -> None:
    """Check that only what the job keeps is left."""
    until(lambda: booting.left() == booting.kept)
    until(lambda: not computer.alive)
    assert booting.block().find() == []


def test_only_the_machine_can_read_its_secret(booting: RentedWing) -> None:
    machine, computer = booted(booting, READS_ITS_SECRET)
    up(computer)
    assert {path.name: path.read_text() for path in (computer.work / "kept").iterdir()} == SECRETS
    assert json.loads((computer.work / "brief.json").read_text())["job_key"] == machine.job_key
    assert booting.machines().state(machine) is MachineState.RUNNING
    shown = [computer.console.read_text(), (computer.folder / "user-data").read_text(), *booting.emulator.calls]
    shown += [" ".join(words(process)) for process in computer.processes]
    assert PLANTED not in "\n".join(shown)
    itself, stranger = booting.secret_reader(machine), booting.secret_reader(machine, "guessed")
    assert itself() == 200
    assert stranger() in (400, 401, 403)
    booting.machines().terminate(machine)
    nothing_is_left(booting, computer)
    assert itself() in (400, 401, 403), "its credentials expire with it"


def test_machine_that_ends_itself_leaves_nothing(booting: RentedWing) -> None:
    machine, computer = booted(booting, ENDS_ITSELF)
    nothing_is_left(booting, computer)
    assert booting.machines().state(old(machine)) is MachineState.GONE
    booting.machines().terminate(machine)


def test_machine_that_only_powers_off_is_found_while_parts_of_it_bill(booting: RentedWing) -> None:
    machine, computer = booted(booting, POWERS_OFF)
    until(lambda: booting.machines().state(machine) is booting.after_poweroff)
    still_there = [machine.id] if set(booting.left()) - set(booting.kept) else []
    assert [one.id for one in booting.block().find()] == still_there
    booting.machines().terminate(machine)
    nothing_is_left(booting, computer)


def test_machine_gets_a_notice_before_its_interruption(booting: RentedWing) -> None:
    machine, computer = booted(booting, WATCHES)
    up(computer)
    begun = time.time()
    booting.interrupt(machine, NOTICE_S)
    assert booting.machines().state(machine) is booting.during_notice
    until((computer.work / "noticed").exists)
    assert begun + NOTICE_S - 2 < float((computer.work / "noticed").read_text()) < time.time() + 30
    nothing_is_left(booting, computer)
    assert time.time() >= begun + NOTICE_S - 1, "it runs until the announced time"
    assert booting.machines().state(old(machine)) is booting.after_loss


def test_machine_interrupted_without_notice_leaves_nothing(booting: RentedWing) -> None:
    machine, computer = booted(booting, IDLE)
    up(computer)
    booting.interrupt(machine, None)
    nothing_is_left(booting, computer)
    assert booting.machines().state(old(machine)) is booting.after_loss


def test_launch_with_a_lost_answer_boots_one_machine(booting: RentedWing) -> None:
    booting.spoil("launch", cut(), times=1)
    machine, computer = booted(booting, IDLE)
    assert list(booting.emulator.computers.values()) == [computer]
    assert booting.machines(IDLE).launch(booting.offer, brief())[0].id == machine.id
    assert list(booting.emulator.computers.values()) == [computer]


@pytest.mark.slow(minutes=0.25)
def test_guard_ends_a_machine_whose_agent_was_killed(booting: RentedWing) -> None:
    """Uses the real bootstrap, blocked by a remote that never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        booting.emulator.reach.add(port)
        config = f"[silent]\ntype = http\nurl = http://127.0.0.1:{port}/\n"
        what = brief(secrets={"rclone.conf": config}, remote="silent:", deadline=time.time() - 300 + 20)
        [machine] = booting.machines().launch(booting.offer, what)
        computer = booting.computer(machine)
        silent.settimeout(60)
        rclone, _ = silent.accept()
        kill_each(computer.processes)
        assert "machine" in booting.left()
        nothing_is_left(booting, computer)
        rclone.close()
    assert booting.ended_itself(machine)
