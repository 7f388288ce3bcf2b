"""Instances that boot: the real user data, the secret read with the role, notices, and every way to end a machine."""

from __future__ import annotations

import base64
import json
import re
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from spotwave.blocks.models import LaunchBrief, Machine, MachineState
from tests.blocks.aws_kit import PLANTED, brief, machines, offer
from tests.blocks.machine_kit import until
from tests.emulators.aws import AwsEmulator
from tests.emulators.computer import Computer
from tests.processes import words

NODE = Path(str(files("spotwave.node")))

# Replaces the agent: reports its secret and environment, polls for the notice as the agent does, then ends.
AGENT = """
import hashlib, json, os, signal, sys, time
from spotwave.node.agent.notice import notice_watcher
from spotwave.node.agent.notice.aws import AwsNotice

work, secrets = os.environ["SPOTWAVE_WORK"], os.environ["SPOTWAVE_SECRETS"]

def write(name, said):
    with open(os.path.join(work, name + ".part"), "w") as out:
        json.dump(said, out)
    os.rename(out.name, os.path.join(work, name))

def saved(number, frame):
    write("saved.json", number)
    sys.exit(0)

signal.signal(signal.SIGTERM, saved)
content = open(os.path.join(secrets, "rclone.conf")).read()
write("found.json", {"secret": hashlib.sha256(content.encode()).hexdigest(), "environment": dict(os.environ)})
AwsNotice.pause_s = 0.1
watcher = notice_watcher(120.0)
hinted = False
while (notice := watcher.poll()) is None:
    if watcher.hint() and not hinted:
        hinted = True
        write("hint.json", watcher.hint())
    time.sleep(0.05)
write("notice.json", notice.time)
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[AwsEmulator]:
    with AwsEmulator(folder=tmp_path / "machines") as emulator:
        yield emulator
    assert not any(computer.alive for computer in emulator.computers.values())


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """The job's folder with a wheel as from the controller, but with the test's agent."""
    folder = tmp_path / "remote"
    (folder / "code").mkdir(parents=True)
    with zipfile.ZipFile(folder / "code/spotwave-0.1.0-py3-none-any.whl", "w") as wheel:
        for path in NODE.rglob("*.py"):
            if path.name != "__main__.py":
                wheel.write(path, f"spotwave/node/{path.relative_to(NODE)}")
        wheel.writestr("spotwave/__init__.py", "")  # else the environment's own package goes before it
        wheel.writestr("spotwave/node/agent/__main__.py", AGENT)
    return folder


def real_but(old: str, new: str) -> str:
    """Return the real bootstrap with one line replaced, and without comments, which would make it too long."""
    script = re.sub(r"(?m)^ *#(?!!).*\n", "", (NODE / "boot/bootstrap.sh").read_text())
    assert script.count(old) == 1
    return script.replace(old, new)


def brief_at(remote: Path, deadline_s: float = 600.0) -> LaunchBrief:
    what = brief(deadline_s=deadline_s)
    return replace(what, brief=replace(what.brief, remote=str(remote)))


def note(computer: Computer, name: str) -> Any:
    """Return the content of a file that its agent has written."""
    path = computer.work / name
    until(path.exists)
    return json.loads(path.read_text())


def state(aws: AwsEmulator, machine: Machine) -> MachineState:
    return machines(aws).state(machine)


def test_notice_lets_the_machine_save_and_end_itself(aws: AwsEmulator, remote: Path) -> None:
    what = brief_at(remote)
    [machine] = machines(aws, None).launch(offer(), what)
    computer = aws.computers[machine.id]
    found = note(computer, "found.json")
    secret = what.secrets["rclone.conf"].get_secret_value()
    assert found["secret"] == sha256(secret.encode()).hexdigest()
    assert state(aws, machine) is MachineState.RUNNING
    assert PLANTED not in json.dumps(found["environment"])
    assert PLANTED not in str(list(map(words, computer.processes)))
    metadata = aws.fleet.instances[machine.id].metadata
    metadata.rebalance()
    assert "AWS recommends" in note(computer, "hint.json")
    metadata.expire_tokens()
    before = time.time()
    aws.interrupt(machine.id, 100.0)
    assert before + 98 < note(computer, "notice.json") < time.time() + 101
    until(lambda: state(aws, machine) is MachineState.GONE)
    assert not computer.alive
    assert aws.left() == ["secret"]
    assert machines(aws).find() == []
    for path in (computer.console, computer.work / "bootstrap.log"):
        assert PLANTED not in path.read_text(errors="replace")


def test_terminated_machine_can_save_and_leaves_nothing(aws: AwsEmulator, remote: Path) -> None:
    at = machines(aws, None)
    [machine] = at.launch(offer(), brief_at(remote))
    computer = aws.computers[machine.id]
    note(computer, "found.json")
    at.terminate(machine)
    assert not computer.alive
    assert note(computer, "saved.json") == 15
    assert state(aws, machine) is MachineState.GONE
    assert aws.left() == ["secret"]


def test_machine_that_cannot_read_its_secret_ends_itself(aws: AwsEmulator) -> None:
    quick = real_but("limited 900 python3 cloud.py secrets", "limited 1 python3 cloud.py secrets")
    aws.fleet.keys = lambda key: None  # type: ignore[method-assign]
    [machine] = machines(aws, quick).launch(offer(), brief())
    until(lambda: state(aws, machine) is MachineState.GONE)
    assert aws.left() == ["secret"]


def test_default_parameters_would_leave_a_disk_that_bills(aws: AwsEmulator) -> None:
    """The emulator must have the service's defaults, or the tests above would prove nothing."""
    asked = {
        "ImageId": aws.account.images["us-east-1"][0]["ImageId"],
        "InstanceType": "c7i.large",
        "MinCount": "1",
        "MaxCount": "1",
        "UserData": base64.b64encode(b"#!/bin/sh\npoweroff\n").decode(),
    }
    [one] = aws.fleet.run("us-east-1", asked)
    until(lambda: one.state == "stopped")
    assert aws.left() == ["disk", "nic"]
