"""What of a program's folder is sent, and how long a remote is tried that does not take it."""

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


def test_so_many_files_at_most_and_ours_first(work: Path) -> None:
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
    # A program that gives its files new names all the time does not fill the remote either.
    for path in output.glob("0*"):
        path.rename(output / f"again-{path.name}")
    again = survey(output, first=("result.json",), known=set(found.files))
    assert again.files == ["result.json"]


def test_a_file_that_the_remote_refuses_does_not_hold_the_machine(work: Path, tmp_path: Path) -> None:
    """A folder stands there under its name: refused for ever, while others are taken."""
    for name in ("result.json", "refused"):
        (work / OUTPUT_DIR / name).write_text("{}")
    (tmp_path / "remote/output/refused/below").mkdir(parents=True)
    sync = syncer(work, str(tmp_path / "remote"))
    begun = time.monotonic()
    assert sync.finish(time.time() + 3600) is None, "the result is there"
    assert time.monotonic() - begun < 60
    assert any("not all of the output was sent" in remark for remark in sync.remarks)
    assert (tmp_path / "remote/output/result.json").read_text() == "{}"


def test_a_result_that_the_remote_refuses_is_not_there(work: Path, tmp_path: Path) -> None:
    (work / OUTPUT_DIR / "result.json").write_text("{}")
    (tmp_path / "remote/output/result.json/below").mkdir(parents=True)
    assert syncer(work, str(tmp_path / "remote")).finish(time.time() + 3600) is not None


def test_a_checkpoint_that_the_remote_refuses_does_not_keep_the_output(work: Path, tmp_path: Path) -> None:
    (work / OUTPUT_DIR / "result.json").write_text("{}")
    (work / "state").write_text("state")
    checkpoint.seal(work / CHECKPOINT_DIR, "001-00001", {"state": work / "state"}, step="run_shci")
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote" / CHECKPOINT_DIR).write_text("a file")
    sync = syncer(work, str(tmp_path / "remote"))
    assert sync.finish(time.time() + 3600) is None
    assert (tmp_path / "remote/output/result.json").exists()
    assert any("the last checkpoint was not sent" in remark for remark in sync.remarks)


def test_a_remote_that_is_away_is_tried_until_the_end(work: Path, tmp_path: Path) -> None:
    (work / OUTPUT_DIR / "result.json").write_text("{}")
    (tmp_path / "remote").write_text("a file: nothing can be below it")
    sync = syncer(work, str(tmp_path / "remote/job"), refused_s=0.0)
    until = time.time() + 5
    assert sync.finish(until) is not None
    assert time.time() >= until - 0.2
    sync = syncer(work, str(tmp_path / "remote/job"), refused_s=0.0)
    (tmp_path / "remote").unlink()
    assert sync.finish(time.time() + 3600) is None


def test_a_file_that_vanishes_while_it_is_sent_is_no_failure(work: Path, tmp_path: Path) -> None:
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


def test_what_stands_in_the_way_of_a_file_of_ours_is_removed(tmp_path: Path) -> None:
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


def test_a_note_is_read_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * (1 << 21))
    (tmp_path / "link").symlink_to(tmp_path / "long")
    for name in ("pipe", "long"):
        with pytest.raises(ValueError, match=name):
            read_regular(tmp_path / name)
    for name in ("link", "absent"):
        with pytest.raises(OSError, match=name):
            read_regular(tmp_path / name)


def test_a_folder_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    assert folder_of_ours(folder)
    assert not folder_of_ours(folder)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert folder_of_ours(folder)
    assert not folder.is_symlink()
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_folders_within_folders_are_removed_at_any_depth(tmp_path: Path) -> None:
    put_deep(tmp_path / "deep", 1500)
    remove_tree(tmp_path / "deep")
    remove_tree(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []
