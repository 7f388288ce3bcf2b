"""Detect a shortage of memory or disk from an exception, a program's last output or the kernel's OOM counter.

Programs report the reason only as text, so the messages of the common libraries are matched. Standard library only,
since the agent and the program processes import this module.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from spotwave.node.outcome import Cause

_NO_MEMORY = (errno.ENOMEM,)
_NO_DISK = (errno.ENOSPC, errno.EDQUOT)
# Messages of the C library, C++ (`what()` of an uncaught exception), Python, NumPy and libgfortran. Go's library
# (rclone) writes the system's messages in lower case.
_MEMORY_WORDS = (os.strerror(errno.ENOMEM), "std::bad_alloc", "MemoryError", "Unable to allocate", "Error allocating")
_DISK_WORDS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_CHAIN = 10  # longest chain of exceptions to follow

_VMSTAT = Path("/proc/vmstat")
FULL_BYTES = 16 << 20  # a disk with less free space than this counts as full


def lacking(error: BaseException) -> Cause | None:
    """Return the shortage behind an exception: Cause.MEMORY, Cause.DISK or None."""
    one: BaseException | None = error
    for _ in range(_CHAIN):
        if one is None:
            return None
        number = one.errno if isinstance(one, OSError) else None
        if isinstance(one, MemoryError) or number in _NO_MEMORY:
            return Cause.MEMORY
        if number in _NO_DISK:
            return Cause.DISK
        # HDF5 and other libraries quote the system's message in an exception of their own.
        if (cause := lacking_in(str(one))) is not None:
            return cause
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return None


def lacking_in(text: str) -> Cause | None:
    """Return the shortage that a program's output reports: Cause.MEMORY, Cause.DISK or None."""
    folded = text.casefold()
    if any(words.casefold() in folded for words in _DISK_WORDS):
        return Cause.DISK
    if any(words.casefold() in folded for words in _MEMORY_WORDS):
        return Cause.MEMORY
    return None


def is_full(folder: Path) -> bool:
    """Return whether the disk of a folder is full."""
    with suppress(OSError):
        return shutil.disk_usage(folder).free < FULL_BYTES
    return False


class OomCounter:
    """Detects whether the kernel's OOM killer has struck since this object was created. Always False without /proc.

    `oom_kill` in /proc/vmstat counts the processes killed on the whole machine, including control groups (Linux 4.13
    and later, mm/oom_kill.c: __oom_kill_process counts both).
    """

    def __init__(self) -> None:
        self._before = _kills()

    @property
    def rose(self) -> bool:
        return _kills() > self._before


def _kills() -> int:
    with suppress(OSError, ValueError):
        for line in _VMSTAT.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
