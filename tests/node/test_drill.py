"""The node flow of a drill: it counts, saves the count, and resumes it on another machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from spotwave.node.contract import BRIEF_FILE, COUNT_FILE, ENV_WORK, STOP_FILE, Brief, Ending, Outcome
from spotwave.node.jobs.drill.flow import Count, count_on
from spotwave.node.runtime.errors import StopAsked
from spotwave.node.runtime.workspace import Workspace
from spotwave.node.storage import checkpoint
from spotwave.node.storage.manifest import CheckpointCorrupt

At = Callable[[int], Workspace]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[At]:
    """Return the workspace of an attempt's machine, with the checkpoint of the previous attempt."""

    def workspace(attempt: int) -> Workspace:
        work = tmp_path / f"machine-{attempt}"
        work.mkdir()
        brief = Brief("sw-0123456789ab", attempt, "/nowhere", "", vcpus=1, memory_gib=1.0, deadline=time.time() + 600)
        brief.write(work / BRIEF_FILE)
        earlier = tmp_path / f"machine-{attempt - 1}" / "checkpoint"
        if earlier.exists():
            shutil.copytree(earlier, work / "checkpoint")
        monkeypatch.setenv(ENV_WORK, str(work))
        return Workspace()

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):  # no server: the progress bar is optional
        yield workspace


def test_the_next_machine_resumes_the_count(at: At) -> None:
    first = Count(at(1))
    assert first.resumed_from is None
    first.keep("begin")
    first.seconds = 41
    first.keep("end")
    second = Count(at(2))
    assert (second.token, second.seconds, second.resumed_at) == (first.token, 41, 41)
    assert second.resumed_from == "001-00002"
    assert second.result()["finished_by"] == 2
    assert Count(at(9)).token != first.token


def test_a_count_ends_after_its_time_or_on_request(at: At) -> None:
    workspace = at(1)
    count = Count(workspace)
    count_on(workspace, count, 0.5)
    assert count.seconds == 1
    Outcome(Ending.INTERRUPTED, "a notice").write(workspace.work / STOP_FILE)
    with pytest.raises(StopAsked, match="a notice"):
        count_on(workspace, count, 600)
    assert count.seconds == 1


def test_a_checkpoint_of_another_job_is_refused(at: At) -> None:
    workspace = at(1)
    other = workspace.scratch / "scf.chk"
    other.write_text("not a count")
    checkpoint.seal(workspace.checkpoints, "001-00001", {"scf.chk": other})
    with pytest.raises(CheckpointCorrupt, match="not one of a drill"):
        Count(at(2))
    checkpoint.seal(workspace.checkpoints, "001-00002", {COUNT_FILE: other})
    with pytest.raises(CheckpointCorrupt, match="cannot be read"):
        Count(workspace)
