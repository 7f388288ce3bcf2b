"""The kernel's locks on files, which end with the process that holds them."""

from __future__ import annotations

import fcntl
from pathlib import Path


def is_held(lock: Path) -> bool:
    """Whether somebody holds the lock on this file just now; not if there is no such file."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
