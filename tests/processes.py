"""Processes that may end while a test looks at them."""

from __future__ import annotations

import psutil


def words(process: psutil.Process) -> list[str]:
    """Its command line; none for one that has just ended, a zombie included, or that is not ours to see."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
