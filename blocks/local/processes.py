"""A local machine is a process tree. Its processes are known by a mark in their environment.

The mark outlives what parenthood does not: a daemon that left its session and lost its parent still carries it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import psutil

KILL_S = 30.0  # a process that SIGKILL has not ended by then hangs in the kernel
_SAME_START_S = 1.0  # start times are computed from the boot time, which a clock adjustment moves a little


class StillRunning(Exception):
    """Processes that could not be ended; the message has their ids."""


def environments() -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    """Every live process whose environment we may read."""
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process, process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # gone meanwhile, or another user's


def marked(mark: Mapping[str, str]) -> list[psutil.Process]:
    """The live processes that carry all of `mark` in their environment."""
    wanted = mark.items()
    return [process for process, environment in environments() if wanted <= environment.items()]


def is_alive(pid: int, started: float, mark: Mapping[str, str]) -> bool:
    """Whether this very process runs: not a zombie, and not a later one with the same id.

    `started` is its start time, Unix seconds. Both are read from the machine's own folder, where it may write: a
    process that does not carry its mark is somebody else's.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environment = process.environ()
        if not environment:  # in the moment of an exec
            return abs(process.create_time() - started) < _SAME_START_S
        return mark.items() <= environment.items()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def kill_marked(mark: Mapping[str, str], timeout_s: float = KILL_S) -> float | None:
    """Power off: SIGKILL to all that carry the mark and to their descendants, until none remains.

    When the last of them was gone, Unix seconds; None if there was none. Raises StillRunning after `timeout_s` seconds.
    """
    me = psutil.Process()
    deadline = time.monotonic() + timeout_s
    doomed: set[psutil.Process] = set()
    gone: float | None = None
    quiet = 0
    while quiet < 2:  # one empty look may fall between a fork and its exec
        found = set(marked(mark)) - {me}
        for process in found.copy():
            found |= set(_descendants(process)) - {me}
        doomed |= found
        left = [process for process in doomed if _runs(process)]
        for process in left:
            _kill(process)
        doomed = _outlasting(left, 0.2)
        if found and not doomed:
            gone = time.time()
        quiet = 0 if found or doomed else quiet + 1
        if quiet == 1:
            time.sleep(0.05)  # an exec takes less
        if doomed and time.monotonic() > deadline:
            raise StillRunning(f"processes {sorted(p.pid for p in doomed)} are still there after {timeout_s:g} s")
    return gone


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _outlasting(processes: list[psutil.Process], timeout_s: float) -> set[psutil.Process]:
    """Those that still run then; returns as soon as there are none.

    By looks at them: most are nobody's children here, and one that another process has to reap ends as a zombie.
    """
    deadline = time.monotonic() + timeout_s
    while (left := {process for process in processes if _runs(process)}) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
