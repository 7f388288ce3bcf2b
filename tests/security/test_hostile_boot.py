"""The real bootstrap on an emulated machine, for a job whose remote has a hostile path."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.blocks.aws_kit import KEY, brief, machines, offer
from tests.blocks.machine_kit import until
from tests.emulators.aws import AwsEmulator

NAME = 'it\'s $(touch pwned) `touch pwned`; touch pwned\n"BRIEF"\nBRIEF\n& -x *'
AGENT = """
import json, os
with open("told.part", "w") as out:
    json.dump({name: os.environ[name] for name in ("SPOTWAVE_REMOTE", "SPOTWAVE_ATTEMPT")}, out)
os.rename("told.part", "told")
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[AwsEmulator]:
    with AwsEmulator(folder=tmp_path / "machines") as emulator:
        yield emulator
    assert not any(computer.alive for computer in emulator.computers.values())


def test_bootstrap_with_hostile_remote_path_only_fetches_code(aws: AwsEmulator, tmp_path: Path) -> None:
    """Blocks reject such a path. If one is accepted by mistake, shell, here-document and rclone are still safe."""
    remote = tmp_path / NAME / KEY
    (remote / "code").mkdir(parents=True)
    with zipfile.ZipFile(remote / "code/spotwave-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("spotwave/__init__.py", "")
        wheel.writestr("spotwave/node/__init__.py", "")
        wheel.writestr("spotwave/node/agent/__main__.py", AGENT)
    what = brief()
    [machine] = machines(aws, None).launch(offer(), replace(what, brief=replace(what.brief, remote=str(remote))))
    computer = aws.computers[machine.id]
    until((computer.work / "told").exists)
    assert json.loads((computer.work / "told").read_text()) == {
        "SPOTWAVE_REMOTE": str(remote),
        "SPOTWAVE_ATTEMPT": "1",
    }
    assert json.loads((computer.work / "brief.json").read_text())["remote"] == str(remote)
    until(lambda: not computer.alive)
    assert not list(tmp_path.rglob("pwned*"))
