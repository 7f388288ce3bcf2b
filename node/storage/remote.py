"""Wrapper of the rclone binary, for controller and machine.

rclone is only used to copy, never to sync: a file that is missing locally is never deleted on the remote.
A `Remote` is a folder on any backend of rclone; paths are relative to it, with '/'.
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

_GROWTH_BYTES = 16 << 20  # allowance for files (logs) that grow between listing and copying


class RemoteDiffers(RemoteError):
    """The remote's files differ from the local ones."""


class RemoteNoRoom(RemoteError):
    """The files on the remote do not fit on the local disk. The message gives the remedy."""


@dataclass(frozen=True)
class Entry:
    """A file or folder on the remote; `path` is relative to the folder listed, `size` in bytes (folders: -1)."""

    path: str
    size: int
    is_dir: bool


Entries = list[Entry]  # needed because `list` is also a method of Remote


class Remote(RcloneCalls):
    """A folder on a remote, e.g. ``drive:spotwave/sw-0123456789ab`` or an absolute local path.

    `config` is an rclone.conf. If it is None or does not exist (a local folder needs none), no configuration is read,
    not even the user's own, which would not exist on the machine.
    Every call has a time limit: `call_s` seconds for small calls, `transfer_s` for copies and their checks.
    Every method raises `RemoteError`; the constructor raises ValueError for a root that rclone would read as an option.
    """

    def upload(
        self, local: Path, rel: str, timeout_s: float | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        """Copy a file to `rel`, or a folder's files into it; other files there are kept.

        names: copy only these files of a folder. They must be transferable (node.untrusted.file_names); one that has
        vanished meanwhile is not an error. Files that grow meanwhile (logs) are sent up to their initial size.
        Raises FileNotFoundError for a missing file or a folder without files: that is a mistake of the caller.
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
        """Copy a file to `local`, or a folder's files into it, after a check that they fit on the disk.

        Raises `RemoteAbsent` if `rel` does not exist, `RemoteNoRoom`, `RemoteTooLong` if it has more than `most_bytes`.
        """
        files, size = self.size(rel)
        if most_bytes is not None and size > most_bytes:
            raise RemoteTooLong(f"{rel} on the remote has {size} bytes, more than the limit of {most_bytes}")
        arguments = [self.at(rel), str(local.absolute()), *_bounds(rel, files, size, local), *self._comparison]
        self._checked("copyto", arguments, timeout_s or self.transfer_s)
        if not local.exists():  # object stores have no empty folders: nothing was copied, without an error
            raise RemoteAbsent(f"rclone copyto: {rel} does not exist on the remote")

    def fetch(self, rel: str, entries: Sequence[Entry], local: Path) -> None:
        """Copy the listed files of a folder into `local`. Raises `RemoteNoRoom`."""
        size = sum(max(0, entry.size) for entry in entries)
        bounds = _bounds(rel, len(entries), size, local)
        arguments = [self.at(rel), str(local.absolute()), "--files-from-raw=-", *bounds]
        done = self._run("copy", arguments, self.transfer_s, _lines([entry.path for entry in entries]))
        if done.returncode:
            raise self._error("copy", done)

    def size(self, rel: str = "") -> tuple[int, int]:
        """Return (files, bytes) of a file or folder, recursively. Raises `RemoteAbsent` if it does not exist."""
        total = self._json("size", self._checked("size", ["--json", self.at(rel)], self.call_s).stdout)
        return int(total["count"]), int(total["bytes"])

    def verify(
        self, local: Path, rel: str, timeout_s: float | None = None, *, names: Sequence[str] | None = None
    ) -> None:
        """Compare a file or folder (names: only these files of it) with its copy on the remote.

        Compares checksums, or reads the copy back if the backend has none. Raises `RemoteDiffers` with the differing
        files; other files on the remote do not matter.
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
        """Copy files between two folders of this remote, on the server side if possible, without overwriting.

        Raises RemoteError if a target file exists and differs.
        """
        # `copy`, since `copyto` ignores --immutable.
        arguments = [self.at(rel), self.at(to), "--immutable", "--files-from-raw=-", *self._comparison]
        done = self._run("copy", arguments, timeout_s or self.transfer_s, _lines(names))
        if done.returncode:
            raise self._error("copy", done)

    def same(self, rel: str, to: str, names: Sequence[str], timeout_s: float | None = None) -> None:
        """Compare files of two folders of this remote, by checksums, or by reading both if there are none.

        Raises `RemoteDiffers` with the differing files.
        """
        arguments = [self.at(rel), self.at(to), "--one-way", "--combined=-", "--files-from-raw=-"]
        if not self._hash_types:
            arguments.append("--download")
        self._compare(arguments, names, to, timeout_s)

    def read(self, rel: str, most_bytes: int = LETTER_BYTES) -> bytes | None:
        """Return a small file's content, or None if it does not exist. Raises `RemoteTooLong`."""
        done = self._run("cat", [f"--count={most_bytes + 1}", self.at(rel)], self.call_s, most_bytes=most_bytes)
        if done.returncode in ABSENT_CODES:
            return None
        if done.returncode:
            raise self._error("cat", done)
        if not done.stdout and not self._is_file(rel):
            return None  # for a missing file an object store lists nothing, without an error
        return done.stdout

    def tail(self, rel: str, most_bytes: int) -> bytes:
        """Return the last `most_bytes` of a file; empty if it does not exist."""
        done = self._run("cat", [f"--tail={most_bytes}", self.at(rel)], self.call_s, most_bytes=most_bytes)
        if done.returncode and done.returncode not in ABSENT_CODES:
            raise self._error("cat", done)
        return done.stdout

    def write(self, rel: str, data: bytes) -> None:
        """Write a small file. Readers see the old or the new content, as far as the backend guarantees that."""
        with tempfile.TemporaryDirectory(prefix="spotwave-") as folder:
            path = Path(folder) / "data"
            path.write_bytes(data)
            # --ignore-times, since backends without times would take files of equal size for equal.
            self._checked("copyto", [str(path), self.at(rel), "--ignore-times"], self.call_s)

    def list(self, rel: str = "", recursive: bool = False) -> Entries:
        """List a folder; [] if it does not exist."""
        found = self._lsjson(rel, ["--no-modtime", "--no-mimetype", *(["--recursive"] if recursive else [])])
        return [Entry(str(item["Path"]), int(item["Size"]), bool(item["IsDir"])) for item in found]

    def delete(self, rel: str) -> None:
        """Remove a file. Safe to repeat."""
        if self._is_file(rel):  # rclone would retry several times to remove a missing file
            self._checked("deletefile", [self.at(rel)], self.call_s)

    def purge(self, rel: str) -> None:
        """Remove a folder below the root with its content. Safe to repeat. Raises ValueError for the root itself."""
        if self.at(rel) == self.root:
            raise ValueError("the root of the remote must not be removed")
        if self._stat(rel) is not None:
            self._checked("purge", [self.at(rel)], self.call_s)

    def hashes(self, rel: str = "", types: Iterable[str] = ("sha256", "sha1", "md5")) -> dict[str, dict[str, str]]:
        """Return {file path: {type: hex digest}} for those of the `types` that the backend supports."""
        wanted = [f"--hash-type={kind}" for kind in types if kind in self._hash_types]
        if not wanted:
            return {entry.path: {} for entry in self.list(rel, recursive=True) if not entry.is_dir}
        found = self._lsjson(rel, ["--recursive", "--files-only", "--no-mimetype", "--hash", *wanted])
        return {str(item["Path"]): item.get("Hashes") or {} for item in found}


def _bounds(rel: str, files: int, size: int, local: Path) -> list[str]:
    """Return flags that bound a download, after a check that it fits. Raises `RemoteNoRoom`."""
    try:
        room_for(files, size, local)
    except NoRoom as error:
        raise RemoteNoRoom(f"{rel} on the remote: {error}") from error
    # The files may be replaced between listing and copying.
    return [f"--max-transfer={size + _GROWTH_BYTES}B", "--cutoff-mode=hard"]


def _lines(names: Sequence[str]) -> bytes:
    """Return a list for --files-from-raw, one name per line. Raises ValueError for a name that cannot be passed."""
    if wrong := next((name for name in names if not can_travel(name)), None):
        raise ValueError(f"the file name {wrong[:60]!r} cannot be passed to rclone")
    return "".join(f"{name}\n" for name in names).encode()


def _something_in(local: Path) -> list[str]:
    """Return the file's name, or the names of all files in the folder. Raises FileNotFoundError if there is none."""
    if local.is_file():
        return [local.name]
    names = [str(path.relative_to(local).as_posix()) for path in sorted(local.rglob("*")) if path.is_file()]
    if not names:
        raise FileNotFoundError(f"{local.name} contains no files to send")
    return names
