"""Run a program and end it and all its descendants when the parent process ends, for whatever reason.

    python -I -S supervise.py PARENT_PID GRACE_S -- PROGRAM ARGUMENTS...

An engine killed by SIGKILL cannot end its solver, and mpirun puts its ranks into process groups of their own. This
process between the two watches its parent (on Linux the kernel signals it at once, elsewhere it polls twice a second),
keeps track of descendants (on Linux it adopts orphans), forwards SIGTERM and ends all of them. It exits with the
program's exit code. Standard library only, without site-packages, so that it starts in a few hundredths of a second.
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

# Loaded before any fork: loading a library between fork and exec is unsafe.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def _descendants() -> set[int]:
    """Return the pids of all descendants on Linux; elsewhere none, where the process group must suffice."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name is in parentheses and may hold any character.
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # the process has ended meanwhile
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
    """Send SIGTERM to the program and all descendants, and SIGKILL after `grace` seconds."""
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
    signalled = [False]

    def on_signal(number: int, frame: object) -> None:
        signalled[0] = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before PR_SET_PDEATHSIG was set
        return 128 + signal.SIGTERM
    try:
        # If this process is killed, the kernel kills the program. preexec_fn is safe here: there is only one thread.
        program = subprocess.Popen(command, preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        return 127
    while program.poll() is None and not signalled[0] and os.getppid() == parent:
        with suppress(subprocess.TimeoutExpired):
            program.wait(_TICK)
    _end(program, grace if program.poll() is None else 0.0)
    code = program.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
