"""Invalid messages of a machine: lease, outcome, progress, manifest. They are ignored and do not end the job."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spotwave.blocks.rclone import rclone_binary
from spotwave.node.contract import OUTCOME_FILE, Brief, Lease, Outcome, Progress, Submission
from spotwave.node.storage.manifest import CheckpointCorrupt, Manifest
from spotwave.node.storage.remote import Remote, RemoteError
from tests.security.rows import Row

LEASE: dict[str, Any] = {"beat": 1, "phase": "working"}
OUTCOME: dict[str, Any] = {"ending": "failed", "reason": "x"}
SEALED: dict[str, Any] = {"generation": "001-00001", "made_at": 1.0, "step": "s", "facts": {}, "files": {}}
MARK = {"size": 1, "sha256": "0" * 64}
UNREAD = "is ignored, as if missing"
MIB = 1 << 20


@dataclass(frozen=True)
class Message(Row):
    """A message on the remote."""

    read: Callable[[str], object]
    text: str


def lease(attack: str, **fields: Any) -> Message:
    return Message("lease", attack, UNREAD, Lease.from_json, json.dumps(LEASE | fields))


def raw(where: str, read: Callable[[str], object], attack: str, text: str) -> Message:
    return Message(where, attack, UNREAD, read, text)


def outcome(attack: str, **fields: Any) -> Message:
    return Message("outcome", attack, UNREAD, Outcome.from_json, json.dumps(OUTCOME | fields))


def manifest(attack: str, **fields: Any) -> Message:
    """Return a manifest with a valid seal: an attacker who can write a manifest can also compute its seal."""
    data = SEALED | fields
    seal = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return Message(
        "manifest", attack, "is not accepted as a checkpoint", Manifest.from_json, json.dumps({**data, "seal": seal})
    )


MESSAGES = [
    lease("NaN bytes sent", sent_bytes=float("nan")),
    lease("infinitely many bytes sent", sent_bytes=float("inf")),
    lease("a negative number of bytes sent", sent_bytes=-(2**40)),
    lease("an exbibyte sent", sent_bytes=2**60),
    lease("true for a number of bytes", sent_bytes=True),
    lease("a text for a number of bytes", sent_bytes="5"),
    lease("10**9 parts of a record", records=10**9),
    lease("a negative number of parts", records=-1),
    lease("a list for its progress", progress=["run_shci", 40, "x"]),
    lease("a text for its outcome", outcome="completed"),
    lease("an unknown phase", phase="resting"),
    lease("a list for its phase", phase=[["working"]]),
    lease("NaN percent", progress={"percent": float("nan")}),
    lease("10**9 percent", progress={"percent": 10**9}),
    lease("a number for its step", progress={"step": 7}),
    lease("a path for its checkpoint", generation="../../etc"),
    lease("a fraction for its beat", beat=1.5),
    lease("half a surrogate pair", progress={"note": "\ud800"}),
    raw("lease", Lease.from_json, "3000 brackets", "[" * 3000),
    raw("lease", Lease.from_json, "500 nested objects", '{"a":' * 500 + "1" + "}" * 500),
    raw("lease", Lease.from_json, "10**400 for its beat", f'{{"beat": 1{"0" * 400}, "phase": "working"}}'),
    raw("lease", Lease.from_json, "a number of 4 million digits", f'{{"beat": {"9" * 4_000_000}}}'),
    raw("lease", Lease.from_json, "1e999 bytes", '{"beat": 1, "phase": "working", "sent_bytes": 1e999}'),
    raw("lease", Lease.from_json, "the same key twice", '{"beat": 1, "beat": 2, "phase": "working"}'),
    raw("lease", Lease.from_json, "two mebibytes of text", json.dumps(LEASE | {"x": "y" * 2 * MIB})),
    raw("lease", Lease.from_json, "another encoding", json.dumps(LEASE).encode("utf-16").decode("latin-1")),
    outcome("an unknown ending", ending="won"),
    outcome("an object for its ending", ending={}),
    outcome("NaN bytes sent", sent_bytes=float("nan")),
    outcome("a list for its reason", reason=["x"]),
    outcome("an unknown cause", cause="poverty"),
    outcome("an unknown signal", signal=1000),
    outcome("true for an exit status", exit_status=True),
    outcome("a number for its step", step=7),
    raw("outcome", Outcome.from_json, "only a text", '"completed"'),
    raw("outcome", Outcome.from_json, "3000 brackets", "[" * 3000),
    raw("progress", Progress.from_json, "a list", "[]"),
    raw("run", Submission.from_json, "a path for its entrypoint", '{"entrypoint": "/tmp/x.py:f", "parameters": {}}'),
    raw("brief", Brief.from_json, "NaN for its deadline", '{"deadline": NaN}'),
    manifest("a negative size", files={"a": {**MARK, "size": -1}}),
    manifest("true for a size", files={"a": {**MARK, "size": True}}),
    manifest("a size of 10**18", files={"a": {**MARK, "size": 10**18}}),
    manifest("a hash that is a path", files={"a": {**MARK, "sha256": "../x"}}),
    manifest("a list for its files", files=[]),
    manifest("a path for its name", generation="../001"),
    manifest("facts in 500 objects", facts=json.loads('{"a":' * 500 + "1" + "}" * 500)),
]  # fmt: skip


@pytest.mark.parametrize("item", MESSAGES, ids=str)
def test_invalid_message_is_ignored(item: Message) -> None:
    started = time.process_time()
    with pytest.raises((ValueError, CheckpointCorrupt)) as refused:
        item.read(item.text)
    assert time.process_time() - started < 1.0
    message = str(refused.value)
    assert len(message) < 300
    assert message.isprintable()


def test_valid_message_with_new_fields_is_read() -> None:
    lease_read = Lease.from_json(json.dumps(LEASE | {"sent_bytes": 5, "mood": {"good": True}}))
    assert (lease_read.beat, lease_read.sent_bytes) == (1, 5)
    assert Manifest.from_json(manifest("none", files={"a": MARK}).text).files["a"].size == 1


@dataclass(frozen=True)
class Far(Row):
    """An object on a remote, and the request for it."""

    put: Callable[[Path], object]
    ask: Callable[[Remote, Path], object]


def big(path: Path, size: int) -> None:
    """Create a sparse file of this size."""
    with path.open("wb") as stream:
        stream.truncate(size)


FAR = [
    Far("heartbeat", "two GB long", "one mebibyte of it is read, and it is rejected in one line",
        lambda far: big(far / "a", 2 * 10**9), lambda remote, _: remote.read("a")),
    Far("download", "a file larger than the disk", "not started, with a message about the free space",
        lambda far: big(far / "a", 10**13), lambda remote, here: remote.download("a", here / "a")),
    Far("download", "a folder larger than the disk", "not started, with a message about the free space",
        lambda far: ((far / "b").mkdir(), big(far / "b/a", 10**13)),
        lambda remote, here: remote.download("b", here / "b")),
]  # fmt: skip


@pytest.mark.parametrize("row", FAR, ids=str)
def test_oversized_files_are_not_read_or_downloaded(row: Far, tmp_path: Path) -> None:
    far, here = tmp_path / "far", tmp_path / "here"
    far.mkdir()
    here.mkdir()
    row.put(far)
    with pytest.raises(RemoteError) as refused:
        row.ask(Remote(rclone_binary(), None, str(far), transfer_s=20), here)
    assert "\n" not in str(refused.value)
    assert any(word in str(refused.value) for word in ("1048576 bytes", "free some disk"))
    assert list(here.iterdir()) == []


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    big(tmp_path / "log", 10**9)
    with (tmp_path / "log").open("ab") as log:
        log.write(b"\nthe end")
    assert Remote(rclone_binary(), None, str(tmp_path)).tail("log", 8) == b"\nthe end"


PIPE = Row("outcome", "a pipe in its place, without a writer", UNREAD)


def test_pipe_instead_of_outcome_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / OUTCOME_FILE)
    with pytest.raises(ValueError, match="is not a regular file"):
        Outcome.read(tmp_path / OUTCOME_FILE)


ROWS: list[Row] = [*MESSAGES, *FAR, PIPE]
