"""Files with unusual names and of unusual types: valid files are transferred, whatever other files are in the folder.

Each transfer is made once, with the files of all rows in one folder; each row then checks its own file.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spotwave.node.agent.sync import Syncer
from spotwave.node.contract import CHECKPOINT_DIR, LEFT_OUT_FILE, MANIFEST_FILE, OUTPUT_DIR, Brief
from spotwave.node.storage import checkpoint
from spotwave.node.storage.remote import Remote
from spotwave.node.untrusted.file_names import LONGEST_NAME, MOST_LEVELS, can_travel
from spotwave.node.untrusted.own_files import remove_tree
from spotwave.tasks.results.collect import brought_home
from tests.node.conftest import RCLONE
from tests.node.deep import put_deep
from tests.security.rows import Row
from tests.security.tried import params, rows_of
from tests.tasks.test_quote import a_job

HOME = "it comes home"
LEFT = "left out and reported, the other files are downloaded"
GONE = "nothing is written outside of the results, and the rest comes home"
FIRST = "one of the two is downloaded, the other is reported"

OUTPUT = "name of a program's file"
NAMES: list[tuple[str, bytes, str]] = [
    ("a control character", b"a\x01b", LEFT),
    ("an escape sequence of a terminal", b"a\x1b[2Jb", LEFT),
    ("a tab", b"a\tb", LEFT),
    ("a line end", b"a\nb", LEFT),
    ("a line end, and then the name of the result file", b"a\nresult.json", LEFT),
    ("a folder with a line end", b"fol\nder/file", LEFT),
    ("a no-break space", "a\u00a0b".encode(), LEFT),
    ("a line separator of Unicode", "a\u2028b".encode(), LEFT),
    ("text from right to left", "a\u202eb".encode(), LEFT),
    ("Latin-1", "größe".encode("latin-1"), LEFT),
    ("half a surrogate", b"\xed\xa0\x80", LEFT),
    ("a leading space", b" a", LEFT),
    ("a trailing space", b"a ", LEFT),
    ("a trailing dot", b"a.", LEFT),
    ("rclone's quoting character", "\u201bq".encode(), LEFT),
    ("what rclone takes for a slash", "\uff0fetc\uff0fpasswd".encode(), LEFT),
    ("what rclone takes for two dots", "\uff0e\uff0e/up".encode(), LEFT),
    ("what rclone takes for a control character", "\u240a".encode(), LEFT),
    ("255 bytes", b"x" * 255, LEFT),
    (f"{LONGEST_NAME} bytes", b"y" * LONGEST_NAME, HOME),
    ("a path of 800 bytes", b"/".join([b"z" * 200] * 4), LEFT),
    ("40 folders deep", b"d/" * 40 + b"file", LEFT),
    (f"{MOST_LEVELS} folders deep", b"e/" * MOST_LEVELS + b"file", HOME),
    ("non-ASCII letters and an emoji", "größe/名前 🧪 é".encode(), HOME),
    ("shell commands", b"$(touch pwned); `touch pwned`", HOME),
    ("an option of rclone", b"--config=x", HOME),
    ("patterns of rclone", b"{a,b} [a-z] * ?? **", HOME),
    ("a comment of rclone's lists", b"# x", HOME),
    ("a colon and a backslash", b"12:30 c:\\x", HOME),
    ("a name of three dots", b"...", LEFT),
    ("a hidden file", b".hidden", HOME),
]
KINDS: list[tuple[str, str, str]] = [
    ("a link to a file outside", "link", LEFT),
    ("a link to a folder outside", "linked", LEFT),
    ("a link to itself", "loop", LEFT),
    ("a pipe without a writer", "pipe", LEFT),
    ("a socket", "socket", LEFT),
    ("a device", "device", LEFT),
    ("a thousand GB of holes", "sparse", LEFT),
    ("1500 nested folders", "deep", LEFT),
    ("an empty folder", "empty", "not sent, without a message"),
]
CASES: list[tuple[str, tuple[str, str], str]] = [
    ("two names that differ in case", ("CASE.txt", "case.txt"), FIRST),
    ("two names that differ in case by folders", ("Dir/file", "dir/file"), FIRST),
    ("two names that differ in an accent's encoding", ("e\u0301.txt", "\u00e9.txt"), FIRST),
    ("the result file's name in capitals", ("result.json", "RESULT.JSON"), FIRST),
    ("a folder with the result file's name in capitals", ("result.json", "Result.JSON/file"), FIRST),
    ("a file and a folder that differ in case", ("mixed/file", "MIXED"), FIRST),
]


@dataclass
class Trip:
    """A machine's output, its remote, and the downloaded files."""

    output: Path
    remote: Path
    home: Path
    seconds: float

    @property
    def left_out(self) -> str:
        return (self.home.parent / "left_out.txt").read_text()


def put(folder: Path, name: bytes) -> None:
    path = os.fsencode(folder) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"here")


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    """Transfer the output of one machine with all of these files to the remote and to the controller."""
    base = tmp_path_factory.mktemp("trip")
    work = base / "work"
    output = work / OUTPUT_DIR
    output.mkdir(parents=True)
    (output / "result.json").write_text(json.dumps({"total_energy": -1.0}))
    for _, name, _ in NAMES:
        put(output, name)
    for _, pair, _ in CASES:
        for one in pair:
            if one != "result.json":
                put(output, one.encode())
    (base / "outside").mkdir()
    (base / "outside" / "secret").write_text("not yours")
    (output / "link").symlink_to(base / "outside" / "secret")
    (output / "linked").symlink_to(base / "outside")
    (output / "loop").symlink_to(output / "loop")
    os.mkfifo(output / "pipe")
    here = os.getcwd()
    os.chdir(output)  # a socket's path may have at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    os.chdir(here)
    if os.geteuid() == 0:
        os.mknod(output / "device", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero, which is endless
    with (output / "sparse").open("wb") as file:
        file.truncate(10**12)
    put_deep(output / "deep", 1500)
    (output / "empty").mkdir()
    remote = base / "remote"
    brief = Brief("sw-0123456789ab", 1, str(remote), "lease", 1, 1.0, time.time() + 600)
    started = time.monotonic()
    sync = Syncer(Remote(RCLONE, None, str(remote)), work, brief, retry_s=1.0)
    assert sync.finish(time.time() + 60) is None
    assert "left out: attempts/1/left_out.txt" in sync.remarks[0]
    (base / "left_out.txt").write_text((remote / "attempts/1" / LEFT_OUT_FILE).read_text())
    job = a_job(results=base / "home")
    brought_home(Remote(RCLONE, None, str(remote)), job, [], None, logging.getLogger("test"))
    yield Trip(output, remote, base / "home", time.monotonic() - started)
    remove_tree(work)


@pytest.mark.parametrize(("row", "name"), params(rows_of(OUTPUT, NAMES), [one[1] for one in NAMES]))
def test_file_name(trip: Trip, row: Row, name: bytes) -> None:
    there, home = (os.path.lexists(os.fsencode(folder) + b"/output/" + name) for folder in (trip.remote, trip.home))
    assert there == home == (row.outcome == HOME)
    assert can_travel(os.fsdecode(name)) == (row.outcome == HOME)
    named = any(repr(os.fsdecode(part))[1:-1][:100] in trip.left_out for part in (name, name.split(b"/")[0]))
    assert named or row.outcome == HOME


@pytest.mark.parametrize(("row", "name"), params(rows_of("program's file", KINDS), [one[1] for one in KINDS]))
def test_file_type(trip: Trip, row: Row, name: str) -> None:
    if name == "device" and os.geteuid() != 0:
        pytest.skip("only root can make one")
    assert os.path.lexists(trip.output / name)
    assert not os.path.lexists(trip.remote / "output" / name)
    assert not os.path.lexists(trip.home / "output" / name)
    assert (f"'{name}" in trip.left_out) == (row.outcome == LEFT)
    assert not list(trip.home.rglob("secret"))


@pytest.mark.parametrize(("row", "pair"), params(rows_of(OUTPUT, CASES), [one[1] for one in CASES]))
def test_conflicting_names(trip: Trip, row: Row, pair: tuple[str, str]) -> None:
    keep, drop = pair
    for folder in (trip.remote, trip.home):
        names = {path.relative_to(folder / "output").as_posix() for path in (folder / "output").rglob("*")}
        assert keep in names
        assert drop not in names
    assert repr(drop)[1:-1] in trip.left_out


def test_transfer_is_fast_and_result_is_unchanged(trip: Trip) -> None:
    assert trip.seconds < 60
    assert json.loads((trip.home / "output/result.json").read_text())["total_energy"] == -1.0
    assert json.loads((trip.home / "result.json").read_text())["job_key"] == "sw-0123456789ab"
    assert {path.name for path in trip.home.iterdir()} == {"output", "result.json"}
    assert (trip.home / "output").stat().st_mode & 0o077 == 0


SEALED: list[tuple[str, str, str]] = [
    ("a tab", "program/a\tb", LEFT),
    ("a no-break space", "program/a\u00a0b", LEFT),
    ("Latin-1", "program/gr\udcf6\udcdfe", LEFT),
    ("a line end", "program/a\nmanifest.json", LEFT),
    ("255 bytes", "program/" + "x" * 255, LEFT),
    ("a path to outside", "../outside", LEFT),
    ("the manifest's own", MANIFEST_FILE, LEFT),
    ("the manifest's own in capitals", "MANIFEST.json", LEFT),
    ("another file's in capitals", "program/WAVE", FIRST),
]
SEALED_ROWS = rows_of("name of a checkpoint's file", SEALED)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Manifest:
    """Seal a checkpoint with all of these names and two valid ones, send it, and restore it on another machine."""
    base = tmp_path_factory.mktemp("sealed")
    (base / "file").write_text("state")
    files = {name: base / "file" for _, name, _ in SEALED} | {"scf.chk": base / "file", "program/wave": base / "file"}
    remote = Remote(RCLONE, None, str(base / "remote"))
    checkpoint.seal(base / CHECKPOINT_DIR, "001-00001", files, {"energy": -1.0}, step="run_shci")
    assert checkpoint.push(remote, base / CHECKPOINT_DIR, "001-00001")
    manifest = checkpoint.restore(remote, base / "another")
    assert manifest is not None
    return manifest


@pytest.mark.parametrize(
    ("row", "name"), params(rows_of("name of a checkpoint's file", SEALED), [one[1] for one in SEALED])
)
def test_checkpoint_is_sent_and_restored_without_invalid_names(
    sealed: checkpoint.Manifest, row: Row, name: str
) -> None:
    if row.outcome == FIRST:
        assert len({"program/wave", "program/WAVE"} & set(sealed.files)) == 1
    else:
        assert name not in sealed.files
        assert any(repr(name)[1:100] in told for told in sealed.facts["left_out"])
    assert "scf.chk" in sealed.files
    assert sealed.facts["energy"] == -1.0


ROWS = [
    *rows_of(OUTPUT, NAMES),
    *rows_of("program's file", KINDS),
    *rows_of(OUTPUT, CASES),
    *SEALED_ROWS,
]
