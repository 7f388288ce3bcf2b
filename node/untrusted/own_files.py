"""Handle Spotwave's own files and folders that a program on the same machine may have removed or replaced.

Programs run as the same user, so nothing here prevents that. But a folder replaced by a link, or a file replaced by a
pipe, must not stop or block the machine.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

MOST = 1 << 20  # bytes of a small file; the largest have a few thousand


def is_regular(path: Path) -> bool:
    """Return whether it is a regular file, not a link, pipe, socket or device, whose reading could block."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether it is a folder, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def folder_of_ours(path: Path) -> bool:
    """Create the folder, replacing anything else of that name. Return True if it was missing. Raises OSError."""
    if is_folder(path):
        return False
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return True


def clear_way(path: Path) -> None:
    """Prepare for writing a file: remove anything at `path` that is not a regular file. Raises OSError.

    Opening a pipe would wait forever for its other end, a link would be followed, and a folder cannot be replaced.
    """
    folder_of_ours(path.parent)
    for one in (path, path.with_name(f".{path.name}.part")):  # the second: see contract.write_text
        if is_folder(one):
            remove_tree(one)
        elif not is_regular(one):
            one.unlink(missing_ok=True)


def read_regular(path: Path, most_bytes: int = MOST) -> bytes:
    """Return a small file's content, without blocking and without following a link.

    Raises FileNotFoundError, OSError; ValueError if it is not a regular file or longer than `most_bytes`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"{path.name} is longer than {most_bytes} bytes")
    return data


def remove_tree(path: Path) -> None:
    """Remove a folder of any depth, as far as possible, without raising an error.

    `shutil.rmtree` alone recurses with an open file per level and fails at a depth of about a thousand.
    """
    with suppress(RecursionError):
        shutil.rmtree(path, ignore_errors=True)
    if is_folder(path):
        _remove_deep(path)


def _remove_deep(path: Path) -> None:
    """Remove folder by folder: subfolders are moved up next to `path` before their parent is removed: short paths."""
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
        except OSError:  # in use, or another user's: it stays, as with rmtree
            continue
