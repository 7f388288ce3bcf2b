"""Validation of the job to continue: its files on the remote are not trusted."""

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


def chain(folder: Path, content: Any, key: str = EARLIER) -> list[str]:
    """Return the chain of earlier jobs. content: of the earlier job's file."""
    place = folder / EARLIER / JOB_FILE
    place.parent.mkdir(parents=True)
    place.write_text(content if isinstance(content, str) else json.dumps(content))
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


def job_file(**more: Any) -> dict[str, Any]:
    return {"job": {"node": "shci-node/machine", "parameters": PARAMETERS, **more}}


def test_same_calculation_is_continued(tmp_path: Path) -> None:
    assert chain(tmp_path, job_file()) == [EARLIER]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        {},
        {"job": None},
        {"job": []},
        {"job": {}},
        job_file(parameters="all"),
        job_file(continue_job=EARLIER),
        job_file(continue_job="../../etc"),
        job_file(continue_job=7),
        job_file(continue_job=["sw-0123456789ab"]),
        job_file(continue_job="sw-ffffffffffff"),
    ],
    ids=str,
)
def test_invalid_earlier_job_gives_a_one_line_error(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CannotContinue) as caught:
        chain(tmp_path, content)
    assert clear(caught.value, "continue_job")
