"""Select the files of a folder that are sent: regular files with transferable names, up to a limit.

All others are left out and listed with a reason. A program may write anything into the folder at any moment. So files
are opened only to check that they can be read, links are not followed, and files that vanish meanwhile are ignored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath

from spotwave.node.untrusted.file_names import MOST_LEVELS, quoted, same_place, why_not
from spotwave.node.untrusted.own_files import is_regular

MOST_FILES = 10_000  #: files of one folder; each costs a request to an object store
MOST_LOOKED_AT = 200_000  #: files and folders visited; 200,000 take about a second
MOST_NAMED = 200  #: omitted files that are listed
_HOLES = 64  # a large file with this ratio of size to stored bytes was made by seeking, not by writing
_LARGE = 1 << 30


@dataclass
class Outgoing:
    """Result of `survey`. `files`: names to send; `left_out`: quoted names and reasons, up to MOST_NAMED."""

    files: list[str] = field(default_factory=list)
    bytes: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0  #: number of omitted files beyond those listed

    def leave_out(self, name: str, why: str) -> None:
        if len(self.left_out) < MOST_NAMED:
            self.left_out.append((quoted(name), why))
        else:
            self.more += 1

    @property
    def left_out_count(self) -> int:
        return len(self.left_out) + self.more

    @property
    def report(self) -> str:
        """Text of the file that lists the omitted files, one per line; it is sent with the others."""
        lines = [f"{name}: {why}\n" for name, why in self.left_out]
        return "".join(lines) + (f"and {self.more} more\n" if self.more else "")


def survey(folder: Path, first: Sequence[str] = (), known: Collection[str] = ()) -> Outgoing:
    """Select the files of `folder` to send.

    first: Spotwave's own file names, which take precedence. known: names sent before, which are preferred, so that a
    later call makes the same choice. Raises OSError if the folder cannot be read.
    """
    seen = Outgoing()
    chosen: dict[str, str] = {}  # place -> name
    sizes: dict[str, int] = {}
    disk = _capacity(folder)
    room = MOST_FILES - len(known)
    for name, size in chain(_ours(folder, first), _plain_files(folder, seen, disk)):
        place = same_place(name)
        other = chosen.get(place)
        if other == name:  # one of `first`
            continue
        if other is not None:
            keep, drop = sorted((name, other), key=lambda one: (one not in first, one not in known, one))
            seen.leave_out(drop, f"its name differs from {quoted(keep)} only in upper and lower case")
            if keep == other:
                continue
        elif name not in known and name not in first:
            if room <= 0:
                seen.leave_out(name, f"there are more than {MOST_FILES} files")
                continue
            room -= 1
        chosen[place], sizes[place] = name, size
    _without_folders_places(chosen, seen, {same_place(name) for name in first} & chosen.keys())
    seen.files = sorted(chosen.values())
    seen.bytes = sum(sizes[place] for place in chosen)
    return seen


def _ours(folder: Path, first: Sequence[str]) -> Iterator[tuple[str, int]]:
    for name in first:
        if is_regular(folder / name):
            yield name, (folder / name).lstat().st_size


def _plain_files(folder: Path, seen: Outgoing, disk: int) -> Iterator[tuple[str, int]]:
    """Yield name and size of each file that can be sent, level by level, so that top-level files come first."""
    device = folder.lstat().st_dev
    waiting: list[str] = [""]
    looked_at = 0
    while waiting:
        below: list[str] = []
        for parent in waiting:
            try:
                entries = os.scandir(folder / parent)
            except OSError as error:
                if not parent:
                    raise
                seen.leave_out(parent, f"this folder cannot be read ({error.strerror})")
                continue
            with entries:
                for entry in entries:
                    looked_at += 1
                    if looked_at > MOST_LOOKED_AT:
                        seen.leave_out(parent or ".", f"more than {MOST_LOOKED_AT} files and folders: not searched")
                        return
                    name = f"{parent}/{entry.name}" if parent else entry.name
                    why = why_not(name)
                    if why is not None:
                        seen.leave_out(name, why)
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:  # removed meanwhile
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        if status.st_dev != device:
                            seen.leave_out(name, "another disk is mounted there")
                        elif name.count("/") >= MOST_LEVELS:
                            seen.leave_out(name, f"it is nested deeper than {MOST_LEVELS} folders")
                        else:
                            below.append(name)
                    elif (why := problem_with(folder / name, status, disk)) is not None:
                        seen.leave_out(name, why)
                    else:
                        yield name, status.st_size
        waiting = below


def problem_with(path: Path, status: os.stat_result, disk: int) -> str | None:
    """Return why the file at `path`, given its `lstat`, cannot be sent, or None. disk: total bytes of its disk."""
    if not stat.S_ISREG(status.st_mode):
        return f"it is {_kind(status.st_mode)}, not a regular file"
    stored = status.st_blocks * 512
    if status.st_size > disk or (status.st_size > _LARGE and status.st_size > _HOLES * stored):
        return f"it is sparse: of its {status.st_size} bytes only {stored} are on the disk"
    if not os.access(path, os.R_OK):
        return "it cannot be read"
    return None


def _capacity(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_blocks * status.f_frsize


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _without_folders_places(chosen: dict[str, str], seen: Outgoing, ours: Collection[str]) -> None:
    """Leave out names that clash with a folder: `a` and `A/b` cannot both exist on a case-insensitive file system.

    The folder's files are kept, since they are more, unless the file is one of Spotwave's own (`ours`).
    """
    for place, name in list(chosen.items()):
        if any(same_place(str(parent)) in ours for parent in PurePosixPath(name).parents):
            why = "its folder's name differs from one of Spotwave's files only in upper and lower case"
            seen.leave_out(chosen.pop(place), why)
    folders = {same_place(str(parent)) for name in chosen.values() for parent in PurePosixPath(name).parents}
    for place in folders & chosen.keys():
        seen.leave_out(chosen.pop(place), "its name differs from a folder's only in upper and lower case")
