"""A job of an earlier version can be continued by this version, also with a smaller eps1, from the remote alone.

Whole jobs are tested in tests/flows/test_earlier_versions.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from spotwave.blocks.models import Requirements
from spotwave.blocks.rclone import RcloneRemote
from spotwave.flows.shci import Shci
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.node.storage.manifest import verify
from spotwave.node.storage.remote import Remote
from spotwave.tasks.records import Job
from spotwave.tasks.results.continue_from import GENERATION, _chain, _copied
from tests.earlier_versions.conftest import Earlier

NODE = "shci-node/machine"
NEW = "sw-111111111111"


@pytest.fixture
def remote(earlier: Earlier, tmp_path: Path) -> Iterator[Remote]:
    """Return a copy of the earlier version's remote."""
    shutil.copytree(earlier.home / "remote", tmp_path / "remote")
    block = RcloneRemote(config=SecretStr(f"[here]\ntype = alias\nremote = {tmp_path}/remote\n"), path="here:")
    with block.opened() as found:
        yield found


def job(asked: dict[str, Any], **changes: Any) -> Job:
    """Return a current job for the same calculation, with some changes."""
    given = Calculation.model_validate({**asked["parameters"]["calculation"], **changes})
    return Job(
        key=NEW,
        flow_run_id=uuid4(),
        node=NODE,
        parameters=dict(Shci().check(given).parameters),
        requirements=Requirements(),
        clouds=[],
        remote="rclone-remote/here",
        access="prefect-access/here",
        store="snapshot-store/here",
        results=Path("/nowhere"),
    )


@pytest.mark.parametrize("what", ["capped", "completed"])
@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"eps1": 1e-4}, True),
        ({"eps2": 1e-6, "keep_fcidump": True}, True),
        ({"eps1": 1e-2}, False),
        ({"basis": "cc-pvdz"}, False),
        ({"spin": 2}, False),
    ],
    ids=str,
)
def test_only_a_different_calculation_is_refused(
    earlier: Earlier, remote: Remote, what: str, changes: dict[str, Any], same: bool
) -> None:
    asked = earlier.asked(what)
    new = job(asked, **changes)
    (found,) = _chain(new, remote, earlier.jobs[what])
    assert (found.key, found.node, found.parameters) == (earlier.jobs[what], NODE, asked["parameters"])
    assert Shci().same_work(found.parameters, new.parameters) is same
    assert "cartesian" not in found.parameters["calculation"], "a field that was added later"


@pytest.mark.parametrize("what", ["capped", "completed"])
def test_checkpoint_is_copied_completely(earlier: Earlier, remote: Remote, tmp_path: Path, what: str) -> None:
    key = earlier.jobs[what]
    before = {path: path.read_bytes() for path in (tmp_path / "remote" / key).rglob("*") if path.is_file()}
    newest = (earlier.remote(what) / "checkpoint/LATEST").read_text().strip()
    for _ in range(2):  # also when a restarted run repeats it
        assert _copied(remote, key, NEW) == newest
    new = tmp_path / "remote" / NEW / "checkpoint"
    assert (new / "LATEST").read_text().strip() == GENERATION
    old = verify(earlier.remote(what) / "checkpoint" / newest)
    assert verify(new / GENERATION, GENERATION).files == old.files
    assert verify(new / GENERATION).facts == old.facts
    assert {path: path.read_bytes() for path in before} == before, "the earlier job is unchanged"
