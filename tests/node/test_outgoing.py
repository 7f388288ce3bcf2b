"""Which files of a program's folder are sent, and how long copies to a failing remote are retried."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from spotwave.node.agent.sync import Syncer
from spotwave.node.contract import CHECKPOINT_DIR, OUTPUT_DIR, Brief
from spotwave.node.storage import checkpoint
from spotwave.node.storage.outgoing import MOST_FILES, MOST_NAMED, survey
from spotwave.node.storage.remote import Remote
from spotwave.node.untrusted.own_files import clear_way, folder_of_ours, read_regular, remove_tree
from tests.node.conftest import RCLONE
from tests.node.deep import put_deep


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work" / OUTPUT_DIR).mkdir(parents=True)
    (tmp_path / "work/agent.log").write_text("a log")
    return tmp_path / "work"


def syncer(work: Path, remote: str, refused_s: float = 0.5) -> Syncer:
    brief = Brief("sw-0123456789ab", 1, remote, "lease", 1, 1.0, time.time() + 600)
    return Syncer(Remote(RCLONE, None, remote, call_s=10.0), work, brief, retry_s=0.2, refused_s=refused_s)


def test_the_number_of_files_is_limited_and_spotwaves_come_first(work: Path) -> None:
    output = work / OUTPUT_DIR
    for number in range(MOST_FILES + 300):
        (output / f"{number:06d}").touch()
    (output / "result.json").write_text(json.dumps({"total_energy": -1.0}))
    found = survey(output, first=("result.json", "absent"))
    assert len(found.files) == MOST_FILES + 1
    assert "result.json" in found.files
    assert found.left_out_count == 300
    assert len(found.left_out) == MOST_NAMED
    assert found.report.endswith("and 100 more\n")
    # A program that keeps renaming its files does not fill the remote either.
    for path in output.glob("0*"):
        path.rename(output / f"again-{path.name}")
    again = survey(output, first=("result.json",), known=set(found.files))
    assert again.files == ["result.json"]


def test_a_refused_file_does_not_keep_the_machine_running(work: Path, tmp_path: Path) -> None:
    """The remote has a folder of the same name, so this file is always refused, while others are accepted."""
    for name in ("result.json", "refused"):
        (work / OUTPUT_DIR / name).write_text("{}")
    (tmp_path / "remote/output/refused/below").mkdir(parents=True)
    sync = syncer(work, str(tmp_path / "remote"))
    begun = time.monotonic()
    assert sync.finish(time.time() + 3600) is None, "the result is on the remote"
    assert time.monotonic() - begun < 60
    assert any("not all of the output was sent" in remark for remark in sync.remarks)
    assert (tmp_path / "remote/output/result.json").read_text() == "{}"


def test_a_refused_result_is_a_failure(work: Path, tmp_path: Path) -> None:
    (work / OUTPUT_DIR / "result.json").write_text("{}")
    (tmp_path / "remote/output/result.json/below").mkdir(parents=True)
    assert syncer(work, str(tmp_path / "remote")).finish(time.time() + 3600) is not None


def test_a_refused_checkpoint_does_not_block_the_output(work: Path, tmp_path: Path) -> None:
    (work / OUTPUT_DIR / "result.json").write_text("{}")
    (work / "state").write_text("state")
    checkpoint.seal(work / CHECKPOINT_DIR, "001-00001", {"state": work / "state"}, step="run_shci")
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / CHECKPOINT_DIR).write_text("a file")
    sync = syncer(work, str(tmp_path / "remote"))
    assert sync.finish(time.time() + 3600) is None
    assert (tmp_path / "remote/output/result.json").exists()
    assert any("the last checkpoint was not sent" in remark for remark in sync.remarks)


@pytest.mark.thorough
def test_an_unreachable_remote_is_retried_until_the_end(work: Path, tmp_path: Path) -> None:
    (work / OUTPUT_DIR / "result.json").write_text("{}")
    (tmp_path / "remote").write_text("a file, so nothing can be below it")
    sync = syncer(work, str(tmp_path / "remote/job"), refused_s=0.0)
    until = time.time() + 5
    assert sync.finish(until) is not None
    assert time.time() >= until - 0.2
    sync = syncer(work, str(tmp_path / "remote/job"), refused_s=0.0)
    (tmp_path / "remote").unlink()
    assert sync.finish(time.time() + 3600) is None


def test_a_file_that_vanishes_during_a_copy_is_not_an_error(work: Path, tmp_path: Path) -> None:
    remote = Remote(RCLONE, None, str(tmp_path / "remote"))
    (work / OUTPUT_DIR / "a").write_text("a")
    remote.upload(work / OUTPUT_DIR, OUTPUT_DIR, names=["a", "gone"])
    assert [entry.path for entry in remote.list(OUTPUT_DIR)] == ["a"]
    with pytest.raises(ValueError, match="cannot be passed to rclone"):
        remote.upload(work / OUTPUT_DIR, OUTPUT_DIR, names=["a\n../b"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_left_out(work: Path) -> None:
    (work / OUTPUT_DIR / "closed").write_text("a")
    (work / OUTPUT_DIR / "closed").chmod(0)
    assert survey(work / OUTPUT_DIR).left_out == [("'closed'", "it cannot be read")]


def test_anything_in_place_of_a_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "yours").write_text("yours")
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "yours")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".file.part").symlink_to(tmp_path / "yours")
    (tmp_path / "file").write_text("ours")
    for name in ("folder", "link", "pipe", "file", "absent/file"):
        clear_way(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["absent", "file", "yours"]
    assert (tmp_path / "yours").read_text() == "yours"
    assert (tmp_path / "file").read_text() == "ours"


def test_a_small_file_is_read_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * (1 << 21))
    (tmp_path / "link").symlink_to(tmp_path / "long")
    for name in ("pipe", "long"):
        with pytest.raises(ValueError, match=name):
            read_regular(tmp_path / name)
    for name in ("link", "absent"):
        with pytest.raises(OSError, match=name):
            read_regular(tmp_path / name)


def test_a_folder_is_created_again(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    assert folder_of_ours(folder)
    assert not folder_of_ours(folder)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert folder_of_ours(folder)
    assert not folder.is_symlink()
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_nested_folders_of_any_depth_are_removed(tmp_path: Path) -> None:
    put_deep(tmp_path / "deep", 1500)
    remove_tree(tmp_path / "deep")
    remove_tree(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []
