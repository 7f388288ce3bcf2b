"""Limit a program's memory, so that it fails with a message before the kernel's OOM killer ends some process."""

from __future__ import annotations

import errno
import os
import resource
import sys

from spotwave.node.jobs.shci.programs.events import say
from spotwave.node.jobs.shci.programs.failure import SHORT_OF_DISK, SHORT_OF_MEMORY
from spotwave.node.outcome import Cause
from spotwave.node.runtime.shortage import lacking


def limit_memory(gib: float) -> None:
    """Make allocations beyond `gib` fail; 0 or less: no limit. Only Linux counts the relevant (private) memory."""
    if gib > 0 and sys.platform == "linux":
        size = int(gib * 1024**3)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            size = min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


def is_for_lack_of_memory(error: Exception) -> bool:
    """Return whether an error is caused by the limit.

    It may be a failed allocation, or a thread or process that could not start because its stack counts too (C++ reports
    that only as text).
    """
    if isinstance(error, OSError) and error.errno == errno.EAGAIN:
        return True
    words = (os.strerror(errno.EAGAIN), "can't start new thread")
    return lacking(error) is Cause.MEMORY or (not isinstance(error, OSError) and any(w in str(error) for w in words))


def code_for_lack(error: Exception, memory_gib: float, less: str) -> int | None:
    """Return the exit code of a bundled program that lacks memory or disk, after a log line; None for other errors.

    memory_gib: its limit. less: how to reduce the memory needed.
    """
    if is_for_lack_of_memory(error):
        say(f"error: more than {memory_gib:g} GiB of memory needed; {less}")
        return SHORT_OF_MEMORY
    if lacking(error) is Cause.DISK:
        say(f"error: {error}")
        return SHORT_OF_DISK
    return None
