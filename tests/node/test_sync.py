"""Number of bytes that a machine has sent, for the receipt; and copies within a remote."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from spotwave.node.agent.sync import Syncer
from spotwave.node.contract import CHECKPOINT_DIR, OUTPUT_DIR, Brief
from spotwave.node.storage import checkpoint
from spotwave.node.storage.remote import Remote, RemoteDiffers, RemoteError
from tests.node.conftest import RCLONE


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(RCLONE, None, str(tmp_path / "remote"))


def test_sent_bytes_are_counted_once(tmp_path: Path, remote: Remote) -> None:
    work = tmp_path / "work"
    (work / OUTPUT_DIR).mkdir(parents=True)
    brief = Brief("sw-0123456789ab", 1, remote.root, "lease", 1, 1.0, time.time() + 600)
    sync = Syncer(remote, work, brief)
    sync.push()
    assert sync.sent_bytes == 0
    (work / OUTPUT_DIR / "result.json").write_bytes(b"x" * 1000)
    sync.push()
    sync.push()
    assert sync.sent_bytes == 1000
    (work / "state").write_bytes(b"y" * 500)
    checkpoint.seal(work / CHECKPOINT_DIR, "001-00001", {"state": work / "state"}, step="hartree_fock")
    (work / OUTPUT_DIR / "result.json").write_bytes(b"z" * 300)
    sync.push()
    assert sync.sent_bytes == 1000 + 500 + 300
    sync.push()
    assert sync.sent_bytes == 1800


def test_a_copy_within_the_remote_never_replaces_another_file(remote: Remote) -> None:
    remote.write("old/file", b"as it was")
    remote.copy("old", "new", ["file"])
    remote.same("old", "new", ["file"])
    assert remote.read("new/file") == b"as it was"
    remote.write("other/file", b"something else")
    with pytest.raises(RemoteError):
        remote.copy("old", "other", ["file"])
    assert remote.read("other/file") == b"something else"
    with pytest.raises(RemoteDiffers, match="file"):
        remote.same("old", "other", ["file"])
    remote.write("old/program/wave", b"function")
    remote.copy("old", "new", ["program/wave"])
    assert remote.read("new/program/wave") == b"function"
