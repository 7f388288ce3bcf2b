"""Runs a program and takes it along when its parent dies, however that happens.

    python -I -S supervise.py PARENT_PID GRACE_S -- PROGRAM ARGUMENTS...

A killed engine (-9) cannot end its solver, and mpirun puts its ranks into process groups of their own; so between
the two stands this process: it watches its parent (the kernel tells it at once on Linux, otherwise it looks twice a
second), keeps the descendants within reach (Linux: it adopts orphans), passes SIGTERM on, and leaves none behind.
Exits as the program did. Standard library only, started without site-packages: it costs a few hundredths of a second.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TICK = 0.5

# Loaded before any fork: between fork and exec no library should be.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def _descendants() -> set[int]:
    """Pids of all processes below this one, on Linux; elsewhere none, there the process group has to do."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name stands in parentheses and may hold anything.
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if fields[0] != "Z":
            parents[int(entry.parent.name)] = int(fields[1])
    below: set[int] = set()
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier} - below
        below |= frontier
    return below


def _signal_all(number: int, child: int) -> None:
    for pid in _descendants() | {child}:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _end(program: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to everything below, and after `grace` seconds SIGKILL."""
    _signal_all(signal.SIGTERM, program.pid)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and (program.poll() is None or _descendants()):
        time.sleep(0.05)
    program.poll()
    while left := _descendants():
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if program.poll() is None:
        program.kill()
    program.wait()


def main(arguments: list[str]) -> int:
    parent, grace, command = int(arguments[0]), float(arguments[1]), arguments[3:]
    told = [False]

    def tell(number: int, frame: object) -> None:
        told[0] = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, tell)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we could ask to be told
        return 128 + signal.SIGTERM
    try:
        # Killed itself, this process still takes the program along. One thread here, so the hook is safe.
        program = subprocess.Popen(command, preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        return 127
    while program.poll() is None and not told[0] and os.getppid() == parent:
        with suppress(subprocess.TimeoutExpired):
            program.wait(_TICK)
    _end(program, grace if program.poll() is None else 0.0)
    code = program.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
