"""Make nested folders whose path is too long to be named."""

from __future__ import annotations

import os
from pathlib import Path


def put_deep(folder: Path, levels: int) -> None:
    """Create them level by level, since a single path cannot be that long."""
    folder.mkdir()
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("x", dir_fd=at)
        below = os.open("x", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
