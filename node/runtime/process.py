"""Run a program in its own session and end all its processes afterwards, however it ends."""

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

LONGEST_LINE = 2000  #: characters of a line; longer lines are truncated
_POLL = 0.25  # seconds between two ticks
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL for the program; its supervisor gets a little more
_CHUNK = 1 << 16

Process = subprocess.Popen[bytes]


@contextmanager
def supervised(arguments: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Process]:
    """Run a program under a supervisor process. stdout and stderr share one pipe.

    Its environment is the allowed part of this process's (node.runtime.environment) plus `environment`. The thread that
    enters the block must not end before the block does: on Linux the supervisor is signalled when that thread ends.
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
    """Yield lines until the last writer has closed the pipe. Call `tick` about four times a second."""
    if process.stdout is None:
        raise ValueError("the process has no pipe")
    descriptor = process.stdout.fileno()
    rest = b""
    next_tick = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if time.monotonic() >= next_tick:  # also if the program writes without a pause
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
            if len(rest) > _CHUNK:  # bounds the memory if a program never ends its line
                yield _text(rest)
                rest = b""
    if rest:
        yield _text(rest)


def ended_by(code: int) -> tuple[int | None, int | None]:
    """Split a return code into (signal, exit status), one of them None.

    A signal is a negative code, or 128 plus the signal if reported by the supervisor, a shell or mpirun.
    """
    number = -code if code < 0 else code - 128
    return (number, None) if number in set(signal.valid_signals()) else (None, code & 0xFF)


def how_it_ended(code: int) -> str:
    """Describe an exit code for an error message."""
    number, _ = ended_by(code)
    if number is None:
        return f"failed with exit code {code}"
    name = signal.Signals(number).name if number in {one.value for one in signal.Signals} else f"signal {number}"
    return f"was killed by {name}"


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that set the number of threads of numerical libraries."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYSCF_MAX_THREADS")
    return dict.fromkeys(names, str(threads)) | {"OMP_PROC_BIND": "false", "PYTHONUNBUFFERED": "1"}


def _end(process: Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)  # the supervisor ends all its descendants, whatever their process group
        try:
            process.wait(_GRACE + 2)
        except subprocess.TimeoutExpired:
            process.kill()
    with suppress(ProcessLookupError, PermissionError):  # no process left; macOS reports this as EPERM
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(line: bytes) -> str:
    text = line.decode("utf-8", "replace").rstrip()
    return text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + " ..."


def _module_path() -> dict[str, str]:
    """Return PYTHONPATH such that `python -m spotwave.node.jobs...` finds this package from any folder."""
    root = str(Path(spotwave.__file__).parent.parent) if spotwave.__file__ else ""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))}
