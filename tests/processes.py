"""Processes that may end while a test looks at them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from contextlib import suppress

import psutil


def words(process: psutil.Process) -> list[str]:
    """Its command line; none for one that has just ended, a zombie included, or that is not ours to see."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """It first, for it may start others while its children are killed."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    kill_each(children)


def kill_each(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL; one may end by itself, or with the one before."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.kill()
