"""Processes of a local machine, identified by a mark in their environment and by a number.

Unlike parenthood, the mark persists: a daemon that left its session and lost its parent still has it. The number is a
resource limit with no practical effect (of realtime scheduling, 142 years and more). Every child inherits it, even from
a program that clears its environment, closes its files and leaves its folder. Only a process that resets this very
limit, and has also left its parent and its environment, is not found.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256

import psutil

_LEAST_NUMBER = 1 << 52
KILL_S = 30.0  # a process that survives SIGKILL for so long is blocked in the kernel
SAME_START_S = 1.0  # start times are computed from the boot time, which a clock adjustment shifts a little


class StillRunning(Exception):
    """Some processes could not be ended; the message has their ids."""


def environments() -> Iterator[tuple[psutil.Process, Mapping[str, str]]]:
    """Yield every running process whose environment can be read."""
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process, process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # ended meanwhile, or belongs to another user


def number_of(mark: Mapping[str, str]) -> int:
    """Return the number for a mark, always the same; in microseconds, the unit of the limit."""
    text = "\0".join(f"{key}={mark[key]}" for key in sorted(mark))
    return _LEAST_NUMBER + int.from_bytes(sha256(text.encode()).digest()[:6])


def marked(mark: Mapping[str, str]) -> list[psutil.Process]:
    """Return the running processes that have all of `mark` in their environment, or its number."""
    wanted, number = mark.items(), number_of(mark)
    return [
        process
        for process, environment in environments()
        if wanted <= environment.items() or number == number_on(process)
    ]


def number_on(process: psutil.Process) -> int | None:
    """Return the number of this process; None if it has none, is not readable, or the system has no such limits."""
    if not hasattr(psutil, "RLIMIT_RTTIME"):
        return None
    try:
        found = process.rlimit(psutil.RLIMIT_RTTIME)[1]
    except (psutil.Error, OSError):
        return None
    return found if found >= _LEAST_NUMBER else None


def is_alive(pid: int, started: float, mark: Mapping[str, str]) -> bool:
    """Whether this same process runs: not a zombie, and not a later one with the same id.

    `started` is its start time, Unix seconds. Both are read from the machine's own folder, which the machine can write:
    so a process without its mark does not count.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environment = process.environ()
        if not environment:  # during an exec
            return abs(process.create_time() - started) < SAME_START_S
        return mark.items() <= environment.items()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def kill_marked(mark: Mapping[str, str], timeout_s: float = KILL_S) -> float | None:
    """Power off: send SIGKILL to all processes with the mark and their descendants, until none remains.

    Returns when the last of them had ended, Unix seconds; None if there were none. Raises StillRunning after
    `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    doomed: set[psutil.Process] = set()
    gone: float | None = None
    quiet = 0
    while quiet < 2:  # one empty result may fall between a fork and its exec
        found = _all_stopped(mark, deadline)
        doomed |= found
        left = [process for process in doomed if _runs(process)]
        _signal(left, signal.SIGKILL)
        doomed = _outlasting(left, 0.2)
        if found and not doomed:
            gone = time.time()
        quiet = 0 if found or doomed else quiet + 1
        if quiet == 1:
            time.sleep(0.05)  # an exec takes less
        if (found or doomed) and time.monotonic() > deadline:
            raise StillRunning(
                f"processes {sorted(p.pid for p in doomed | found)} are still running after {timeout_s:g} s"
            )
    return gone


def _all_stopped(mark: Mapping[str, str], deadline: float) -> set[psutil.Process]:
    """Stop and return all processes of a machine, so that none can start another (or as many as possible in time)."""
    me, stopped = psutil.Process(), set[psutil.Process]()
    while True:
        found = set(marked(mark)) - {me}
        for process in found.copy():
            found |= set(_descendants(process)) - {me}
        new = found - stopped
        if not new or time.monotonic() > deadline:
            return found
        _signal(new, signal.SIGSTOP)
        stopped |= new


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each, and to their process groups: a process that forks and ends stays in its group."""
    own_session, groups = os.getsid(0), set[int]()
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) != own_session:  # machines have their own sessions
                groups.add(os.getpgid(process.pid))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _outlasting(processes: list[psutil.Process], timeout_s: float) -> set[psutil.Process]:
    """Return those that still run after `timeout_s`; returns as soon as there are none.

    Polls: most are not children of this process, and one that another process has to reap ends as a zombie.
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
