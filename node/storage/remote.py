"""The one wrapper of the rclone binary, for controller and machine alike.

rclone copies and never syncs: what is missing here is never a reason to delete it there.
A `Remote` is a folder on any backend that rclone speaks to; paths are relative to it, with '/'.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from spotwave.node.storage.free_space import NoRoom, room_for
from spotwave.node.storage.rclone_calls import ABSENT_CODES, RcloneCalls
from spotwave.node.storage.rclone_calls import RemoteAbsent as RemoteAbsent
from spotwave.node.storage.rclone_run import RemoteError as RemoteError
from spotwave.node.storage.rclone_run import RemoteTooLong as RemoteTooLong
from spotwave.node.untrusted.file_names import can_travel
from spotwave.node.untrusted.plain_text import plain
from spotwave.node.untrusted.strict_json import LETTER_BYTES

_GROWTH_BYTES = 16 << 20  # by which files may grow between the look at them and their copying: logs


class RemoteDiffers(RemoteError):
    """The remote answered, and holds something else than the local files."""


class RemoteNoRoom(RemoteError):
    """The remote answered, and what is there does not fit on the disk here; the message says what to do."""


@dataclass(frozen=True)
class Entry:
    """A file or folder on the remote; `path` is relative to the folder listed, `size` in bytes (folders: -1)."""

    path: str
    size: int
    is_dir: bool


Entries = list[Entry]  # `list` is a method of Remote, so its annotations need another word


class Remote(RcloneCalls):
    """A folder on a remote, e.g. ``drive:spotwave/sw-0123456789ab`` or an absolute local path.

    `config` is an rclone.conf; without one (or where the file is not there: a local folder needs none) none is read,
    not even the user's own, which would not exist on the machine.
    Every call is bounded: `call_s` seconds for small things, `transfer_s` for copies and their checks.
    Every method raises `RemoteError`; to make one of a root that rclone would take for an option, ValueError.
    """

    def upload(
        self, local: Path, rel: str, timeout_s: float | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        """Copy a file to, or a folder's files into, `rel`; what else is there stays. names: only these of a folder,
        which must be names that can travel (node.untrusted.file_names); one that has gone meanwhile is no error.

        Files that grow meanwhile (logs) are sent as long as they were. Raises FileNotFoundError for a missing
        file and for a folder without any file: nothing to send is a mistake of the caller, not a success.
        """
        if names is None:
            _something_in(local)
        flags = ["--ignore-times"] if names is None and local.is_file() else self._comparison
        arguments = [str(local.absolute()), self.at(rel), "--local-no-check-updated", *flags]
        listed = [] if names is None else ["--files-from-raw=-"]
        done = self._run("copyto", [*arguments, *listed], timeout_s or self.transfer_s, _lines(names or ()))
        if done.returncode:
            raise self._error("copyto", done)

    def download(self, rel: str, local: Path, timeout_s: float | None = None, *, most_bytes: int | None = None) -> None:
        """Copy a file to, or a folder's files into, `local`, once it is known that they fit there.

        Raises `RemoteAbsent` when there is none, `RemoteNoRoom`, and `RemoteTooLong` for more than `most_bytes`.
        """
        files, size = self.size(rel)
        if most_bytes is not None and size > most_bytes:
            raise RemoteTooLong(f"{rel} on the remote has {size} bytes, more than the {most_bytes} that are fetched")
        arguments = [self.at(rel), str(local.absolute()), *_bounds(rel, files, size, local), *self._comparison]
        self._checked("copyto", arguments, timeout_s or self.transfer_s)
        if not local.exists():  # object stores know no empty folder: nothing was copied, without an error
            raise RemoteAbsent(f"rclone copyto: there is no {rel} on the remote")

    def fetch(self, rel: str, entries: Sequence[Entry], local: Path) -> None:
        """Copy some files of a folder into `local`, as they were listed. Raises `RemoteNoRoom`."""
        size = sum(max(0, entry.size) for entry in entries)
        bounds = _bounds(rel, len(entries), size, local)
        arguments = [self.at(rel), str(local.absolute()), "--files-from-raw=-", *bounds]
        done = self._run("copy", arguments, self.transfer_s, _lines([entry.path for entry in entries]))
        if done.returncode:
            raise self._error("copy", done)

    def size(self, rel: str = "") -> tuple[int, int]:
        """(files, bytes) of a file or of all that is in a folder. Raises `RemoteAbsent` when there is none."""
        told = self._json("size", self._checked("size", ["--json", self.at(rel)], self.call_s).stdout)
        return int(told["count"]), int(told["bytes"])

    def verify(
        self, local: Path, rel: str, timeout_s: float | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        """Compare a file or folder (names: only these of it) with its copy, by checksums, or by reading it back where
        there are none.

        Raises `RemoteDiffers` naming the files; what else the remote holds does not matter.
        """
        names = _something_in(local) if names is None else names
        base, far = (local.parent, str(PurePosixPath(rel).parent)) if local.is_file() else (local, rel)
        arguments = [str(base.absolute()), self.at(far), "--one-way", "--combined=-", "--files-from-raw=-"]
        if not self._hash_types:
            arguments.append("--download")
        self._compare(arguments, names, rel, timeout_s)

    def _compare(self, arguments: Sequence[str], names: Sequence[str], rel: str, timeout_s: float | None) -> None:
        done = self._run("check", arguments, timeout_s or self.transfer_s, _lines(names))
        lines = done.stdout.decode(errors="replace").splitlines()
        wrong = [plain(line[2:], 200) for line in lines if line[:2] in ("+ ", "* ")]
        if wrong or done.returncode in ABSENT_CODES:
            raise RemoteDiffers(f"the remote's copy of {rel} differs: {', '.join(wrong[:5] or names[:5])}")
        if done.returncode:
            raise self._error("check", done)

    def copy(self, rel: str, to: str, names: Sequence[str], timeout_s: float | None = None) -> None:
        """Copy files from folder to folder here, by the remote itself where it can. Never over another file: raises
        RemoteError for one that is there and differs."""
        # Not copyto, which does not look at --immutable.
        arguments = [self.at(rel), self.at(to), "--immutable", "--files-from-raw=-", *self._comparison]
        done = self._run("copy", arguments, timeout_s or self.transfer_s, _lines(names))
        if done.returncode:
            raise self._error("copy", done)

    def same(self, rel: str, to: str, names: Sequence[str], timeout_s: float | None = None) -> None:
        """Compare files of two folders here, by checksums, or by reading both where there are none. Raises
        `RemoteDiffers` naming the files."""
        arguments = [self.at(rel), self.at(to), "--one-way", "--combined=-", "--files-from-raw=-"]
        if not self._hash_types:
            arguments.append("--download")
        self._compare(arguments, names, to, timeout_s)

    def read(self, rel: str, most_bytes: int = LETTER_BYTES) -> bytes | None:
        """A small file's content, or None if the remote answers that there is none. Raises `RemoteTooLong`."""
        done = self._run("cat", [f"--count={most_bytes + 1}", self.at(rel)], self.call_s, most_bytes=most_bytes)
        if done.returncode in ABSENT_CODES:
            return None
        if done.returncode:
            raise self._error("cat", done)
        if not done.stdout and not self._is_file(rel):
            return None  # an object store lists nothing, without an error, where nothing is
        return done.stdout

    def tail(self, rel: str, most_bytes: int) -> bytes:
        """The end of a file that may be long; nothing where there is none."""
        done = self._run("cat", [f"--tail={most_bytes}", self.at(rel)], self.call_s, most_bytes=most_bytes)
        if done.returncode and done.returncode not in ABSENT_CODES:
            raise self._error("cat", done)
        return done.stdout

    def write(self, rel: str, data: bytes) -> None:
        """Write a small file; readers see the old or the new one, as far as the backend can promise that."""
        with tempfile.TemporaryDirectory(prefix="spotwave-") as folder:
            path = Path(folder) / "data"
            path.write_bytes(data)
            # Not compared first: backends without times would take equal sizes for equal files.
            self._checked("copyto", [str(path), self.at(rel), "--ignore-times"], self.call_s)

    def list(self, rel: str = "", recursive: bool = False) -> Entries:
        """What is in a folder; [] if there is no such folder."""
        found = self._lsjson(rel, ["--no-modtime", "--no-mimetype", *(["--recursive"] if recursive else [])])
        return [Entry(str(item["Path"]), int(item["Size"]), bool(item["IsDir"])) for item in found]

    def delete(self, rel: str) -> None:
        """Remove a file; safe to repeat."""
        if self._is_file(rel):  # asked first: rclone would try again and again to remove nothing
            self._checked("deletefile", [self.at(rel)], self.call_s)

    def purge(self, rel: str) -> None:
        """Remove a folder below the root and all in it; safe to repeat. Raises ValueError for the root itself."""
        if self.at(rel) == self.root:
            raise ValueError("the remote's root is not ours to remove")
        if self._stat(rel) is not None:
            self._checked("purge", [self.at(rel)], self.call_s)

    def hashes(self, rel: str = "", types: Iterable[str] = ("sha256", "sha1", "md5")) -> dict[str, dict[str, str]]:
        """File path -> {type: hex digest}, of the types asked for that the backend knows."""
        wanted = [f"--hash-type={kind}" for kind in types if kind in self._hash_types]
        if not wanted:
            return {entry.path: {} for entry in self.list(rel, recursive=True) if not entry.is_dir}
        found = self._lsjson(rel, ["--recursive", "--files-only", "--no-mimetype", "--hash", *wanted])
        return {str(item["Path"]): item.get("Hashes") or {} for item in found}


def _bounds(rel: str, files: int, size: int, local: Path) -> list[str]:
    """Flags for a copy of so much to here, once it is known to fit. Raises `RemoteNoRoom`."""
    try:
        room_for(files, size, local)
    except NoRoom as error:
        raise RemoteNoRoom(f"{rel} on the remote: {error}") from error
    # What was looked at may be replaced before it is copied.
    return [f"--max-transfer={size + _GROWTH_BYTES}B", "--cutoff-mode=hard"]


def _lines(names: Sequence[str]) -> bytes:
    """A list for --files-from-raw, a name on each line. Raises ValueError for one that would be read as another."""
    if wrong := next((name for name in names if not can_travel(name)), None):
        raise ValueError(f"{wrong[:60]!r} cannot be named to rclone")
    return "".join(f"{name}\n" for name in names).encode()


def _something_in(local: Path) -> list[str]:
    """The file's name, or the names of all files in the folder. Raises FileNotFoundError if there is none."""
    if local.is_file():
        return [local.name]
    names = [str(path.relative_to(local).as_posix()) for path in sorted(local.rglob("*")) if path.is_file()]
    if not names:
        raise FileNotFoundError(f"there is no file in {local.name}: nothing to send")
    return names
