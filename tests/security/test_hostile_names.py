"""Names that lead to other places, in parameters, settings and files on a remote."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from spotwave.blocks.endpoints import checked
from spotwave.blocks.models import Requirements
from spotwave.node.storage.checkpoint import CheckpointCorrupt
from spotwave.node.storage.manifest import Manifest, _digest, verify
from spotwave.tasks.check import check_job
from spotwave.tasks.load_blocks import NoSuchBlock, load_access, load_cloud, load_remote
from spotwave.tasks.records import Job
from tests.security.hostile import LINES, LONG, SHELL, clear

ELSEWHERE = [
    "..",
    "here?include_secrets=true",
    "here#x",
    "%68ere",
    "%2e%2e",
    "a%2fb",
    "../x",
    "a\\b",
    "",
    "Here",
    "a b",
]


@pytest.mark.parametrize("word", [*ELSEWHERE, *SHELL, *LINES, LONG])
def test_invalid_block_name_is_rejected(word: str) -> None:
    """It is rejected before any request: there is no server here."""
    for load, slug, field in (
        (load_cloud, "local-cloud", "clouds"),
        (load_remote, "rclone-remote", "remote"),
        (load_access, "prefect-access", "access"),
    ):
        with pytest.raises(NoSuchBlock) as caught:
            load(f"{slug}/{word}")
        assert clear(caught.value, field)


@pytest.mark.parametrize("url", ["https://a\nb", "https://a\tb", "https://a b", "https://a\x00b", "https://a\u202eb"])
def test_invalid_address_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match="is not a valid address"):
        checked(url)


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/passwd", "a\nb"])
def test_manifest_paths_stay_in_generation(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("not yours")
    folder = tmp_path / "001-00001"
    folder.mkdir()
    data = {
        "generation": "001-00001",
        "made_at": 0.0,
        "step": "",
        "facts": {},
        "files": {name: {"size": 1, "sha256": ""}},
    }
    (folder / "manifest.json").write_text(json.dumps({**data, "seal": _digest(data)}))
    with pytest.raises(CheckpointCorrupt, match="which is not a valid file name"):
        verify(folder)
    assert Manifest.from_json(json.dumps({**(good := data | {"files": {}}), "seal": _digest(good)})).files == {}


@pytest.mark.parametrize(
    "word",
    [*ELSEWHERE[:-2], *(word for word in SHELL if word != "BRIEF"), *LINES, LONG, "-x" * 40, "sw-0123456789ab/../x"],
)
@pytest.mark.parametrize("field", ["project", "continue_job"])
def test_invalid_project_or_job_name_is_rejected(field: str, word: str, tmp_path: Path) -> None:
    """They become the name of a file in the ledger and of a folder on the remote."""
    usual = Job(
        key="sw-111111111111",
        flow_run_id=uuid4(),
        node="shci-node/machine",
        parameters={},
        requirements=Requirements(),
        clouds=[],
        remote="rclone-remote/here",
        access="prefect-access/here",
        store="snapshot-store/here",
        results=tmp_path,
    )
    problem = check_job.fn(usual.model_copy(update={field: word}), [])
    assert problem is not None
    assert clear(ValueError(problem), field), problem
