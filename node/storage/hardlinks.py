"""Hard links with a fallback to copies, and fsync."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_TRIES = 10  # in a test with 20,000 links of a file that was replaced in a tight loop, at most 23 in a row failed


def link(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy if links are impossible. Raises FileNotFoundError, OSError.

    `source` may be replaced meanwhile. Linux then refuses with ENOENT to link a file that lost its last name after it
    was looked up (link(2); vfs_link in fs/namei.c), and the next try links the new file.
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
    shutil.copy2(source, target)  # reads the opened file to its end even if the name is replaced meanwhile


def fsync(path: Path) -> None:
    """Flush a file's or folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
