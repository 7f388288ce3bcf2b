"""Whether what is to be fetched fits, before any of it is: how much a remote holds is whoever writes there's choice."""

from __future__ import annotations

import shutil
from pathlib import Path

SPARE_BYTES = 64 << 20  # of the disk, for everything else
MOST_FILES = 200_000  # in one go; a checkpoint or the output of a job has some dozens


class NoRoom(Exception):
    """It does not fit; one line with the figures and the remedy."""


def room_for(files: int, size: int, folder: Path) -> None:
    """Raises NoRoom unless `files` files of `size` bytes together fit on the disk of `folder`, which need not exist."""
    if files > MOST_FILES:
        raise NoRoom(f"{files} files are more than the {MOST_FILES} that are fetched at once; look what they are")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if size + SPARE_BYTES > free:
        raise NoRoom(
            f"{size} bytes are to be fetched and {free} bytes are free at {there} ({SPARE_BYTES} of them are kept): "
            "free some disk, or remove from the remote what should not be there"
        )
