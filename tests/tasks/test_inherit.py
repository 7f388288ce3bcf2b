"""What a remote may hold of the job to continue; its owner may have written anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from spotwave.blocks.models import Requirements
from spotwave.blocks.rclone import RcloneRemote
from spotwave.node.contract import JOB_FILE
from spotwave.tasks.records import Job
from spotwave.tasks.results.continue_from import CannotContinue, _chain
from tests.security.hostile import clear

EARLIER = "sw-0123456789ab"
PARAMETERS = {"basis": "sto-3g"}


def chain(folder: Path, told: Any, key: str = EARLIER) -> list[str]:
    """told: the earlier job's file."""
    place = folder / EARLIER / JOB_FILE
    place.parent.mkdir(parents=True)
    place.write_text(told if isinstance(told, str) else json.dumps(told))
    job = Job(
        key="sw-111111111111",
        flow_run_id=uuid4(),
        node="shci-node/machine",
        parameters=PARAMETERS,
        requirements=Requirements(),
        clouds=[],
        remote="rclone-remote/here",
        access="prefect-access/here",
        store="snapshot-store/here",
        results=folder,
    )
    block = RcloneRemote(config=SecretStr(f"[here]\ntype = alias\nremote = {folder}\n"), path="here:")
    with block.opened() as remote:
        return [one.key for one in _chain(job, remote, key)]


def asked(**more: Any) -> dict[str, Any]:
    return {"job": {"node": "shci-node/machine", "parameters": PARAMETERS, **more}}


def test_the_same_calculation_goes_on(tmp_path: Path) -> None:
    assert chain(tmp_path, asked()) == [EARLIER]


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{",
        "null",
        "[]",
        {},
        {"job": None},
        {"job": []},
        {"job": {}},
        asked(parameters="all"),
        asked(continue_job=EARLIER),
        asked(continue_job="../../etc"),
        asked(continue_job=7),
        asked(continue_job=["sw-0123456789ab"]),
        asked(continue_job="sw-ffffffffffff"),
    ],
    ids=str,
)
def test_what_is_no_earlier_job_is_told_in_one_line(tmp_path: Path, told: Any) -> None:
    with pytest.raises(CannotContinue) as caught:
        chain(tmp_path, told)
    assert clear(caught.value, "continue_job")
