"""Copies that cost nothing: hard links, where the filesystem has them; and what is on the disk for certain."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`; a copy where that cannot be. Raises FileNotFoundError, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(strict=True), target)
    except FileNotFoundError:
        raise
    except OSError:  # another filesystem, or one without hard links
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Link every file below `source`. Raises FileNotFoundError if there is none, or one vanishes meanwhile."""
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    if not files:
        raise FileNotFoundError(f"no file in {source.name}")
    for path in files:
        link(path, target / path.relative_to(source))


def fsync(path: Path) -> None:
    """A file's or folder's content, on the disk before what follows."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
