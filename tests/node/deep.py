"""Folders within folders, more than a path can name."""

from __future__ import annotations

import os
from pathlib import Path


def put_deep(folder: Path, levels: int) -> None:
    """Level by level, since no path may be that long."""
    folder.mkdir()
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("x", dir_fd=at)
        below = os.open("x", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
