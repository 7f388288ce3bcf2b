"""Compute Engine's machines that boot: the user data they were given runs, with Google's metadata service beside it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr

from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import LaunchBrief, Machine, MachineState
from tests.blocks.machine_kit import brief as a_brief
from tests.blocks.machine_kit import until
from tests.emulators.computer import Computer
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_cloud import cloud_at, offer
from tests.processes import kill_each, words

A = "us-central1-a"
PLANTED = "planted-rclone-secret"
ROOT = Path(__file__).parents[2]

HEAD = """#!/usr/bin/env bash
set -eu
@SETTINGS@
mkdir -p "$SPOTWAVE_WORK"
cd "$SPOTWAVE_WORK"
cat >brief.json <<'BRIEF'
@BRIEF@
BRIEF
cat >cloud.py <<'CLOUD'
@CLOUD@
CLOUD
: <<'PINS'
@PINS@
PINS
"""
IDLE = HEAD + "touch up\nexec sleep 600\n"
READS_ITS_SECRET = HEAD + 'python3 cloud.py secrets "$SPOTWAVE_WORK/kept"\ntouch up\nexec sleep 600\n'
ENDS_ITSELF = HEAD + "python3 cloud.py end\n"
POWERS_OFF = HEAD + "touch up\npoweroff\n"
# The real watcher; it saves when it has the notice, whatever ACPI says first.
HEEDS = (
    HEAD
    + f"""export PYTHONPATH={ROOT}/src
exec "$SPOTWAVE_OPT/bin/python" - <<'PY'
import pathlib, signal, time
from spotwave.node.agent.notice import notice_watcher
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("told-by-acpi").touch())
watcher = notice_watcher(20.0)
pathlib.Path("up").touch()
while (notice := watcher.poll()) is None:
    time.sleep(0.05)
pathlib.Path("saved.part").write_text(str(notice.left_s))
pathlib.Path("saved.part").rename("saved")
while not pathlib.Path("may-end").exists():
    time.sleep(0.05)
PY
"""
)


@pytest.fixture
def google(tmp_path: Path) -> Iterator[GcpEmulator]:
    with GcpEmulator(folder=tmp_path) as emulator:
        yield emulator


@pytest.fixture
def cloud(google: GcpEmulator) -> GcpCloud:
    return cloud_at(google.url)


def _brief(**fields: object) -> LaunchBrief:
    plain = a_brief()
    public = replace(plain.brief, **fields)  # type: ignore[arg-type]
    return replace(plain, brief=public, secrets={"rclone.conf": SecretStr(PLANTED)})


def _up(google: GcpEmulator, machine: Machine) -> Computer:
    computer = google.computers[machine.id]
    until(lambda: (computer.work / "up").exists())
    return computer


def _left(google: GcpEmulator) -> set[str]:
    return {item.kind for item in google.ledger.left()}


def test_its_user_data_runs_and_it_reads_its_secret_as_nobody_else_can(google: GcpEmulator, cloud: GcpCloud) -> None:
    brief = _brief()
    machine = cloud.machines(READS_ITS_SECRET).launch(offer(), brief)
    computer = _up(google, machine)
    assert (computer.work / "kept/rclone.conf").read_text() == PLANTED
    assert json.loads((computer.work / "brief.json").read_text())["job_key"] == machine.job_key
    assert cloud.state(machine) is MachineState.RUNNING
    said = computer.console.read_text() + repr([words(process) for process in computer.processes])
    assert PLANTED not in said + (computer.folder / "user-data").read_text() + repr(google.calls)

    secrets = f"{google.url}/v1/projects/spotwave-test/secrets"
    token = google.compute.instances[A, machine.id].metadata.token
    as_the_machine = {"Authorization": f"Bearer {token}"}
    its_own = f"{secrets}/spotwave-{machine.job_key}/versions/latest:access"
    assert requests.get(its_own, headers=as_the_machine, timeout=10).status_code == 200
    assert requests.get(secrets, headers=as_the_machine, timeout=10).status_code == 403
    assert requests.get(its_own, headers={"Authorization": "Bearer guessed"}, timeout=10).status_code == 401

    cloud.terminate(machine)
    assert not computer.alive
    assert requests.get(its_own, headers=as_the_machine, timeout=10).status_code == 401
    assert _left(google) == {"secret"}


def test_a_machine_that_deletes_itself_leaves_nothing(google: GcpEmulator, cloud: GcpCloud) -> None:
    machine = cloud.machines(ENDS_ITSELF).launch(offer(), _brief())
    until(lambda: _left(google) == {"secret"})
    assert not google.computers[machine.id].alive
    until(lambda: cloud.state(machine) is MachineState.GONE)
    assert cloud.find() == []
    cloud.terminate(machine)


def test_a_machine_that_only_powers_off_is_still_found(google: GcpEmulator, cloud: GcpCloud) -> None:
    machine = cloud.machines(POWERS_OFF).launch(offer(), _brief())
    until(lambda: "machine" not in _left(google))
    assert _left(google) == {"disk", "secret"}
    assert cloud.state(machine) is MachineState.STOPPING
    assert [found.id for found in cloud.find()] == [machine.id]
    cloud.terminate(machine)
    assert _left(google) == {"secret"}


def test_the_notice_and_the_seconds_after_it(google: GcpEmulator, cloud: GcpCloud) -> None:
    machine = cloud.machines(HEEDS).launch(offer(), _brief())
    computer = _up(google, machine)
    google.interrupt(machine.id, 20.0)
    assert cloud.state(machine) is MachineState.STOPPING, "the seconds after a notice are the machine's"
    until(lambda: (computer.work / "saved").exists())
    assert 0 < float((computer.work / "saved").read_text()) <= 20
    until(lambda: (computer.work / "told-by-acpi").exists())
    (computer.work / "may-end").touch()
    until(lambda: _left(google) == {"secret"})
    assert cloud.state(machine) is MachineState.INTERRUPTED


def test_a_machine_lost_without_notice(google: GcpEmulator, cloud: GcpCloud) -> None:
    machine = cloud.machines(IDLE).launch(offer(), _brief())
    computer = _up(google, machine)
    google.interrupt(machine.id, None)
    until(lambda: _left(google) == {"secret"})
    assert not computer.alive
    assert cloud.state(machine) is MachineState.INTERRUPTED


def test_compute_engine_itself_ends_a_machine_on_which_nothing_is_alive(google: GcpEmulator, cloud: GcpCloud) -> None:
    machine = cloud.machines(IDLE).launch(offer(), _brief(deadline=time.time() - 600 + 5))
    computer = _up(google, machine)
    until(lambda: _left(google) == {"secret"})
    assert not computer.alive
    assert cloud.find() == []


@pytest.mark.slow(minutes=0.2)
def test_its_guard_ends_a_machine_whose_agent_was_killed(google: GcpEmulator, cloud: GcpCloud) -> None:
    """With the house's own bootstrap, held up on its way to the code by a remote that never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        google.reach.add(port)
        brief = _brief(deadline=time.time() - 300 + 12, remote="silent:")
        config = SecretStr(f"[silent]\ntype = http\nurl = http://127.0.0.1:{port}/\n")
        machine = cloud.launch(offer(), replace(brief, secrets={"rclone.conf": config}))
        computer = google.computers[machine.id]
        silent.settimeout(60)
        rclone, _ = silent.accept()
        kill_each(computer.processes)
        assert "machine" in _left(google)
        until(lambda: _left(google) == {"secret"})
        rclone.close()
    assert not computer.alive
    assert f"delete {A} {machine.id}" in google.calls, "it asked for it itself"
