"""The remote heartbeat of a machine that cannot reach the API, and of one that is gone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from spotwave.blocks.rclone import rclone_binary
from spotwave.node.contract import HEARTBEAT_FILE, Lease, Phase, attempt_dir
from spotwave.node.storage.remote import Remote, RemoteError
from spotwave.tasks.machine.remote_heartbeat import RemoteHeartbeat


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(rclone_binary(), None, str(tmp_path))


def _beats(folder: Path, beat: int) -> None:
    path = folder / attempt_dir(1) / HEARTBEAT_FILE
    Lease(beat, Phase.WORKING).write(path)


def test_only_a_newer_beat_counts(remote: Remote, tmp_path: Path) -> None:
    heartbeat = RemoteHeartbeat(1)
    assert not heartbeat.has_risen(remote, 0), "no heartbeat was ever written"
    _beats(tmp_path, 57)
    assert not heartbeat.has_risen(remote, 100), "an old heartbeat, from before the silence"
    _beats(tmp_path, 130)
    assert heartbeat.has_risen(remote, 100)
    assert not heartbeat.has_risen(remote, 100), "unchanged: the machine has ended since"
    _beats(tmp_path, 131)
    assert heartbeat.has_risen(remote, 100)


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"phase": "working"}', '{"beat": 1e9, "phase": "working"}'])
def test_unreadable_heartbeat_does_not_count(content: str, remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / attempt_dir(1) / HEARTBEAT_FILE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert not RemoteHeartbeat(1).has_risen(remote, 0)


def test_clocks_do_not_matter(remote: Remote, tmp_path: Path) -> None:
    """Neither the file's modification time nor times in the file are used."""

    heartbeat = RemoteHeartbeat(1)
    for beat, when in ((2, time.time() + 1e6), (3, 1.0)):
        _beats(tmp_path, beat)
        os.utime(tmp_path / attempt_dir(1) / HEARTBEAT_FILE, (when, when))
        assert heartbeat.has_risen(remote, 1)
    os.utime(tmp_path / attempt_dir(1) / HEARTBEAT_FILE, (time.time(), time.time()))
    assert not heartbeat.has_risen(remote, 1)


def test_unavailable_remote_raises(tmp_path: Path) -> None:
    with pytest.raises(RemoteError):
        RemoteHeartbeat(1).has_risen(Remote(tmp_path / "no-rclone", None, str(tmp_path)), 0)
