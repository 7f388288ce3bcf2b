"""A program in a session of its own, of which nothing is left at the end, whatever the end was."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import spotwave
from spotwave.node.runtime import supervise
from spotwave.node.runtime.environment import inherited

LONGEST_LINE = 2000  #: characters of a line that are passed on; the rest is cut off
_POLL = 0.25  # seconds between two ticks
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL for the program; its supervisor gets a little more
_CHUNK = 1 << 16

Process = subprocess.Popen[bytes]


@contextmanager
def supervised(arguments: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Process]:
    """The program under its supervisor, with `environment` added to what it may inherit of ours
    (node.runtime.environment); stdout and stderr are one pipe.

    The thread that enters must live as long as the block: on Linux the supervisor is told when it dies.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", supervise.__file__, str(os.getpid()), str(_GRACE), "--", *arguments],
        cwd=folder,
        env=inherited(os.environ) | _module_path() | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)
        if process.stdout is not None:
            process.stdout.close()


def lines(process: Process, tick: Callable[[], None]) -> Iterator[str]:
    """Lines as they come, until the last writer has closed the pipe. `tick` is called about four times a second."""
    if process.stdout is None:
        raise ValueError("the process has no pipe")
    descriptor = process.stdout.fileno()
    rest = b""
    next_tick = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if time.monotonic() >= next_tick:  # also when the program talks without a pause
                tick()
                next_tick = time.monotonic() + _POLL
            if not selector.select(_POLL):
                continue
            data = os.read(descriptor, _CHUNK)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield _text(line)
            if len(rest) > _CHUNK:  # no line is that long; do not collect gigabytes
                yield _text(rest)
                rest = b""
    if rest:
        yield _text(rest)


def ended_by(code: int) -> tuple[int | None, int | None]:
    """(signal, exit status), one of them None. A signal is told by itself (negative) or by its supervisor, a shell or
    mpirun (128 and more)."""
    number = -code if code < 0 else code - 128
    return (number, None) if number in set(signal.valid_signals()) else (None, code & 0xFF)


def how_it_ended(code: int) -> str:
    """An exit code in words, for an error message."""
    number, _ = ended_by(code)
    if number is None:
        return f"failed with exit code {code}"
    name = signal.Signals(number).name if number in {one.value for one in signal.Signals} else f"signal {number}"
    return f"was killed by {name}"


def thread_variables(threads: int) -> dict[str, str]:
    """The variables by which numerical libraries learn how many threads they may use."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYSCF_MAX_THREADS")
    return dict.fromkeys(names, str(threads)) | {"OMP_PROC_BIND": "false", "PYTHONUNBUFFERED": "1"}


def _end(process: Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)  # the supervisor ends what is below it, in whatever group that is
        try:
            process.wait(_GRACE + 2)
        except subprocess.TimeoutExpired:
            process.kill()
    with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says so by EPERM
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip()
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + " ..."


def _module_path() -> dict[str, str]:
    """So that `python -m node.jobs.shci.programs...` finds the same package in whatever folder it starts."""
    root = str(Path(spotwave.__file__).parent.parent) if spotwave.__file__ else ""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}
