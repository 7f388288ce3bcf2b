"""A ceiling on a program's own memory, so that it fails with words before the kernel kills whoever is nearest."""

from __future__ import annotations

import resource
import sys


def limit_memory(gib: float) -> None:
    """Let allocations beyond `gib` fail; 0 or less: no limit. Only Linux counts what matters (private memory)."""
    if gib > 0 and sys.platform == "linux":
        size = int(gib * 1024**3)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            size = min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
