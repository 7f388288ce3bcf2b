"""Check free disk space before a download, since the amount of data on a remote is not under Spotwave's control."""

from __future__ import annotations

import shutil
from pathlib import Path

SPARE_BYTES = 64 << 20  # kept free on the disk for everything else
MOST_FILES = 200_000  # files per download; a checkpoint or the output of a job has a few dozen


class NoRoom(Exception):
    """There is not enough disk space. The message is one line with the figures and the remedy."""


def room_for(files: int, size: int, folder: Path) -> None:
    """Raise NoRoom unless `files` files of `size` bytes in total fit on the disk of `folder`, which need not exist."""
    if files > MOST_FILES:
        raise NoRoom(f"{files} files exceed the limit of {MOST_FILES} for one download; check what they are")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if size + SPARE_BYTES > free:
        raise NoRoom(
            f"the download has {size} bytes, but only {free} bytes are free at {there} ({SPARE_BYTES} are reserved): "
            "free some disk space, or remove unneeded files from the remote"
        )
