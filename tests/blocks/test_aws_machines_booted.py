"""Instances that boot: the real user data, its secret by its role, notices, and every way for a machine to end."""

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

# In the agent's place: tells what it has, watches for the notice as the agent does, and ends well when it comes.
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
    """The job's folder, with a wheel as the controller puts it there, but for the agent."""
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
    """The real bootstrap, without the comments that make it too long, but for one line."""
    script = re.sub(r"(?m)^ *#(?!!).*\n", "", (NODE / "boot/bootstrap.sh").read_text())
    assert script.count(old) == 1
    return script.replace(old, new)


def brief_at(remote: Path, deadline_s: float = 600.0) -> LaunchBrief:
    what = brief(deadline_s=deadline_s)
    return replace(what, brief=replace(what.brief, remote=str(remote)))


def told(computer: Computer, name: str) -> Any:
    """A note of its agent."""
    path = computer.work / name
    until(path.exists)
    return json.loads(path.read_text())


def state(aws: AwsEmulator, machine: Machine) -> MachineState:
    return machines(aws).state(machine)


def test_from_the_launch_by_a_notice_to_the_end_of_itself(aws: AwsEmulator, remote: Path) -> None:
    what = brief_at(remote)
    [machine] = machines(aws, None).launch(offer(), what)
    computer = aws.computers[machine.id]
    found = told(computer, "found.json")
    secret = what.secrets["rclone.conf"].get_secret_value()
    assert found["secret"] == sha256(secret.encode()).hexdigest()
    assert state(aws, machine) is MachineState.RUNNING
    assert PLANTED not in json.dumps(found["environment"])
    assert PLANTED not in str(list(map(words, computer.processes)))
    metadata = aws.fleet.instances[machine.id].metadata
    metadata.rebalance()
    assert "AWS recommends" in told(computer, "hint.json")
    metadata.expire_tokens()
    before = time.time()
    aws.interrupt(machine.id, 100.0)
    assert before + 98 < told(computer, "notice.json") < time.time() + 101
    until(lambda: state(aws, machine) is MachineState.GONE)
    assert not computer.alive
    assert aws.left() == ["secret"]
    assert machines(aws).find() == []
    for path in (computer.console, computer.work / "bootstrap.log"):
        assert PLANTED not in path.read_text(errors="replace")


def test_a_terminated_machine_may_save_and_nothing_of_it_is_left(aws: AwsEmulator, remote: Path) -> None:
    at = machines(aws, None)
    [machine] = at.launch(offer(), brief_at(remote))
    computer = aws.computers[machine.id]
    told(computer, "found.json")
    at.terminate(machine)
    assert not computer.alive
    assert told(computer, "saved.json") == 15
    assert state(aws, machine) is MachineState.GONE
    assert aws.left() == ["secret"]


def test_a_machine_that_cannot_read_its_secret_ends_itself(aws: AwsEmulator) -> None:
    quick = real_but("limited 900 python3 cloud.py secrets", "limited 1 python3 cloud.py secrets")
    aws.fleet.keys = lambda key: None  # type: ignore[method-assign]
    [machine] = machines(aws, quick).launch(offer(), brief())
    until(lambda: state(aws, machine) is MachineState.GONE)
    assert aws.left() == ["secret"]


def test_had_the_launch_not_asked_otherwise_a_disk_would_bill_on(aws: AwsEmulator) -> None:
    """The service's defaults, which the emulator must have for the tests above to mean something."""
    asked = {
        "ImageId": aws.account.images["us-east-1"][0]["ImageId"],
        "InstanceType": "c7i.large",
        "UserData": base64.b64encode(b"#!/bin/sh\npoweroff\n").decode(),
    }
    one = aws.fleet.run("us-east-1", asked)
    until(lambda: one.state == "stopped")
    assert aws.left() == ["disk", "nic"]
