"""Copies that cost nothing: hard links, where the filesystem has them; and what is on the disk for certain."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_TRIES = 10  # 23 in a row failed at most, of 20,000 links of a file that was replaced in a tight loop


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`; a copy where that cannot be. Raises FileNotFoundError, OSError.

    `source` may be replaced meanwhile: Linux refuses, as if there were none, to link a file that lost its last name
    after it was looked up (link(2), ENOENT; vfs_link in fs/namei.c). Its successor is linked then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        try:
            os.link(source.resolve(strict=True), target)
            return
        except FileNotFoundError:
            if not source.exists():
                raise
        except OSError:  # another filesystem, or one without hard links
            break
    shutil.copy2(source, target)  # what is open is read to its end, whatever name it has


def fsync(path: Path) -> None:
    """A file's or folder's content, on the disk before what follows."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
