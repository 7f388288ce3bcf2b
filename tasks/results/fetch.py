"""Download a remote's folder safely: listed first, limited in number, and never outside the target folder.

A remote may contain any file under any name: from the program, or from others who can write to it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from spotwave.node.storage.remote import Entry, Remote
from spotwave.node.untrusted.file_names import quoted, same_place, why_not

MOST_FILES = 10_000  #: downloaded per folder; a machine sends no more (node/storage/outgoing.py)
MOST_NAMED = 200
LIST_S = 1800.0  # a million objects take a thousand requests
SPARE_BYTES = 64 << 20  #: disk space that is kept free for everything else


class NoRoom(RuntimeError):
    """The disk has no room for the download, which was not started; the message is a line for the user."""


@dataclass
class Listed:
    """The files to download, and those that are left out with the reason."""

    entries: list[Entry] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  #: "'name': why", the first MOST_NAMED
    left_out_count: int = 0

    @property
    def names(self) -> list[str]:
        return [entry.path for entry in self.entries]

    @property
    def bytes(self) -> int:
        """Total size; a store that does not know a size reports -1."""
        return sum(max(0, entry.size) for entry in self.entries)

    def leave_out(self, name: str, why: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < MOST_NAMED:
            self.left_out.append(f"{quoted(name)}: {why}")


def listed(remote: Remote, rel: str, first: str = "") -> Listed:
    """List the remote's folder and select the files to download. first: a name with priority. Raises RemoteError."""
    found = Listed()
    patient = Remote(remote.binary, remote.config, remote.root, call_s=LIST_S)
    files = [entry for entry in patient.list(rel, recursive=True) if not entry.is_dir]
    prefix = f"{same_place(first)}/" if first else "\0"
    inside = [entry.path for entry in files if "/" in entry.path and not same_place(entry.path).startswith(prefix)]
    folders = {same_place(path[:n]) for path in inside for n, one in enumerate(path) if one == "/"}
    places: dict[str, str] = {}
    for entry in sorted(files, key=lambda entry: (entry.path != first, entry.path.count("/"), entry.path)):
        why, place = why_not(entry.path), same_place(entry.path)
        if why is None and place.startswith(prefix):
            why = f"{first} is a file"
        if why is None and place in folders:
            why = "a folder has the same name, or one that differs only in upper and lower case"
        if why is None and place in places:
            why = f"its name differs from {quoted(places[place])} only in upper and lower case"
        if why is None and len(found.entries) >= MOST_FILES:
            why = f"there are more than {MOST_FILES} files"
        if why is not None:
            found.leave_out(entry.path, why)
            continue
        places[place] = entry.path
        found.entries.append(entry)
    return found


def require_room(needed: int, files: int, home: Path) -> None:
    """Check the free disk space. Raises NoRoom."""
    free = shutil.disk_usage(home).free
    if needed + SPARE_BYTES > free:
        raise NoRoom(
            f"results: {files} files of together {needed} bytes do not fit into {home}, where {free} are free. Free "
            f"{needed + SPARE_BYTES - free} bytes and start this run again: everything is kept on the remote"
        )


def bring_home(remote: Remote, rel: str, found: Listed, to: Path) -> None:
    """Download into a folder beside `to`, compare with the remote, and only then replace `to`, so that its content is
    always complete and readable by the owner only. Raises RemoteError, OSError."""
    with TemporaryDirectory(prefix=".incoming-", dir=to.parent) as folder:
        incoming = Path(folder) / "new"
        incoming.mkdir(mode=0o700)
        if found.entries:
            remote.fetch(rel, found.entries, incoming)
            remote.verify(incoming, rel, names=found.names)
        if to.is_symlink() or to.is_file():
            to.unlink()
        elif to.exists():
            to.rename(Path(folder) / "old")
        incoming.rename(to)
