"""How a lack of memory or of disk shows itself: an exception, a program's last words, the kernel's own counter.

The words are those of the libraries that make them, since a program says in words alone why it ends. Standard library
only, as the agent needs it, and the program processes import it too.
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
# As the C library, C++ (`what()` of the exception that nobody caught), Python, NumPy and libgfortran tell it; and Go's
# library (rclone), which writes the system's own words small.
_MEMORY_WORDS = (os.strerror(errno.ENOMEM), "std::bad_alloc", "MemoryError", "Unable to allocate", "Error allocating")
_DISK_WORDS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_CHAIN = 10  # exceptions that led to one another

_VMSTAT = Path("/proc/vmstat")
FULL_BYTES = 16 << 20  # a disk that has no more is full: the next block of anything does not fit


def lacking(error: BaseException) -> Cause | None:
    """What was short, if that is behind an exception: Cause.MEMORY, Cause.DISK or None."""
    one: BaseException | None = error
    for _ in range(_CHAIN):
        if one is None:
            return None
        number = one.errno if isinstance(one, OSError) else None
        if isinstance(one, MemoryError) or number in _NO_MEMORY:
            return Cause.MEMORY
        if number in _NO_DISK:
            return Cause.DISK
        # HDF5 and other libraries put the system's words into an exception of their own.
        if (told := lacking_in(str(one))) is not None:
            return told
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return None


def lacking_in(text: str) -> Cause | None:
    """What was short, by the words of whoever ended for it."""
    folded = text.casefold()
    if any(words.casefold() in folded for words in _DISK_WORDS):
        return Cause.DISK
    if any(words.casefold() in folded for words in _MEMORY_WORDS):
        return Cause.MEMORY
    return None


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room left."""
    with suppress(OSError):
        return shutil.disk_usage(folder).free < FULL_BYTES
    return False


class OomCounter:
    """Whether the kernel has killed somebody for want of memory since this was made; never, where it does not count.

    `oom_kill` in /proc/vmstat counts what was killed on the whole machine, in control groups too (Linux 4.13 and later,
    mm/oom_kill.c: __oom_kill_process counts both).
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
