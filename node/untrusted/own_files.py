"""Files and folders of ours that a program on the same machine may have removed or replaced by something else.

It runs as the same user, so nothing here keeps it from that; but a folder that is a link, or a file that is a pipe,
must not stop or hold the machine.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

MOST = 1 << 20  # bytes of a note; the longest are a few thousand


def is_regular(path: Path) -> bool:
    """Whether it is a file: no link, pipe, socket or device, whose reading could lead elsewhere or never end."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def folder_of_ours(path: Path) -> bool:
    """Make the folder, in the place of whatever else stands there. True if it was not there. Raises OSError."""
    if is_folder(path):
        return False
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return True


def clear_way(path: Path) -> None:
    """Before a file is written here: remove what stands there unless it is a file. Raises OSError.

    To open a pipe waits for its other end, for ever; a link would be followed; a folder cannot be replaced.
    """
    folder_of_ours(path.parent)
    for one in (path, path.with_name(f".{path.name}.part")):  # the second: see contract.write_text
        if is_folder(one):
            remove_tree(one)
        elif not is_regular(one):
            one.unlink(missing_ok=True)


def read_regular(path: Path, most_bytes: int = MOST) -> bytes:
    """A small file's content, without ever waiting for anybody, nor following a link.

    Raises FileNotFoundError, OSError; ValueError for what is not a regular file, or a longer one.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is no file")
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{path.name} is longer than {most_bytes} bytes")
    return data


def remove_tree(path: Path) -> None:
    """Remove a folder as far as that can be done, of any depth: `shutil.rmtree` recurses with an open file for each
    level, and gives up at a thousand. No error is raised."""
    with suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if is_folder(path):
        _remove_deep(path)


def _remove_deep(path: Path) -> None:
    """Folder by folder: what lies in one is moved up beside it before it is removed, so that no path grows long."""
    waiting, moved = [path], 0
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        moved += 1
                        aside = path.with_name(f".{path.name}.removed-{os.getpid()}-{moved}")
                        os.rename(entry.path, aside)
                        waiting.append(aside)
                    else:
                        os.unlink(entry.path)
            folder.rmdir()
        except OSError:  # in use, or not ours: it stays, as with rmtree
            continue
