"""The two locks of local machines; both are the kernel's, and fall with their holder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotwave.blocks.file_lock import is_held


@contextmanager
def counting(folder: Path) -> Iterator[None]:
    """One launcher at a time among the machines of that folder, so that two cannot both take what is left.

    It is on the folder itself: nothing more lies in it. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """One at a time launches a machine or notes its end (and a child between fork and exec still holds the lock)."""
    with (place / "launch.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_locked(place: Path) -> bool:
    """Whether somebody does so just now."""
    return is_held(place / "launch.lock")
