"""Helpers for processes that may end at any time."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from contextlib import suppress

import psutil


def words(process: psutil.Process) -> list[str]:
    """Return the command line; empty if the process has ended, is a zombie, or is not accessible."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """Kill the process before its children, because it might start new ones."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    kill_each(children)


def kill_each(processes: Iterable[psutil.Process]) -> None:
    """Kill the processes; they may have ended already."""
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.kill()
