"""What of a folder is sent: plain files under names that can travel, so many at most; the rest is left out and named.

The folder is a program's, which may put anything into it at any moment. So nothing is opened but to see whether it
can be read, nothing is followed, and what vanishes meanwhile was never there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath

from spotwave.node.untrusted.file_names import MOST_LEVELS, same_place, told, why_not
from spotwave.node.untrusted.own_files import is_regular

MOST_FILES = 10_000  #: of one folder; a request to an object store each
MOST_LOOKED_AT = 200_000  #: files and folders; a second for 200,000
MOST_NAMED = 200  #: of those left out
_HOLES = 64  # a large file that is for so many parts empty has been made by a leap, not by writing
_LARGE = 1 << 30


@dataclass
class Outgoing:
    """A look at a folder. `files`: names that are sent; `left_out`: quoted names and why, the first of them."""

    files: list[str] = field(default_factory=list)
    bytes: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    more: int = 0  #: left out beyond those that are named

    def leave_out(self, name: str, why: str) -> None:
        if len(self.left_out) < MOST_NAMED:
            self.left_out.append((told(name), why))
        else:
            self.more += 1

    @property
    def left_out_count(self) -> int:
        return len(self.left_out) + self.more

    @property
    def report(self) -> str:
        """The text of the file that comes home: a line for each that did not."""
        lines = [f"{name}: {why}\n" for name, why in self.left_out]
        return "".join(lines) + (f"and {self.more} more\n" if self.more else "")


def survey(folder: Path, first: Sequence[str] = (), known: Collection[str] = ()) -> Outgoing:
    """Look through `folder`. first: our own names, which are sent before all others; known: those sent before, which
    are preferred, so that a later look takes no other choice. Raises OSError where the folder cannot be read."""
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
            seen.leave_out(drop, f"it differs from {told(keep)} in upper and lower case alone")
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
    """Name and size of each file that can be sent. Level by level: what lies on top comes before what lies deep."""
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
                        seen.leave_out(parent or ".", f"more than {MOST_LOOKED_AT} files and folders: not looked at")
                        return
                    name = f"{parent}/{entry.name}" if parent else entry.name
                    why = why_not(name)
                    if why is not None:
                        seen.leave_out(name, why)
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:  # gone meanwhile
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        if status.st_dev != device:
                            seen.leave_out(name, "another disk is mounted there")
                        elif name.count("/") >= MOST_LEVELS:
                            seen.leave_out(name, f"it lies deeper than {MOST_LEVELS} folders")
                        else:
                            below.append(name)
                    elif (why := problem_with(folder / name, status, disk)) is not None:
                        seen.leave_out(name, why)
                    else:
                        yield name, status.st_size
        waiting = below


def problem_with(path: Path, status: os.stat_result, disk: int) -> str | None:
    """Why what is at `path` cannot be sent, by its `lstat`; disk: bytes of the whole disk that it is on."""
    if not stat.S_ISREG(status.st_mode):
        return f"it is {_kind(status.st_mode)}, not a file"
    stored = status.st_blocks * 512
    if status.st_size > disk or (status.st_size > _LARGE and status.st_size > _HOLES * stored):
        return f"its {status.st_size} bytes are nearly all holes: {stored} are on the disk"
    if not os.access(path, os.R_OK):
        return "it cannot be read"
    return None


def _capacity(folder: Path) -> int:
    told = os.statvfs(folder)
    return told.f_blocks * told.f_frsize


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _without_folders_places(chosen: dict[str, str], seen: Outgoing, ours: Collection[str]) -> None:
    """A file `a` and a folder `A` cannot both be where case does not tell: the folder's files are more; ours win."""
    for place, name in list(chosen.items()):
        if any(same_place(str(parent)) in ours for parent in PurePosixPath(name).parents):
            seen.leave_out(chosen.pop(place), "a file of ours differs from its folder in upper and lower case alone")
    folders = {same_place(str(parent)) for name in chosen.values() for parent in PurePosixPath(name).parents}
    for place in folders & chosen.keys():
        seen.leave_out(chosen.pop(place), "a folder differs from it in upper and lower case alone")
