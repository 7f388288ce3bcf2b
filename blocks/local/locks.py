"""Locks of local machines. They are kernel locks, which are released when their holder ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spotwave.blocks.file_lock import is_held


@contextmanager
def counting(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two launches cannot both take the remaining capacity.

    The lock is on the folder itself, so it needs no file. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the machine's lock while launching it or noting its end (a child between fork and exec also holds it)."""
    with (place / "launch.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_locked(place: Path) -> bool:
    """Whether a process currently holds the machine's lock."""
    return is_held(place / "launch.lock")
