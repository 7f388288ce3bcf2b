"""One engine for one run: the lease that keeps a restarted flow run from being executed twice at once."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

WAIT_S = 600.0  # a predecessor may be ending: a job that was suspended and resumed at once saves, and terminates


class RunLocked(RuntimeError):
    """Another process on this host still executes the same run."""


@contextmanager
def run_lock(job_key: str) -> Iterator[None]:
    """Hold the job's lock while executing it.

    The lock is the kernel's: it ends with the process that holds it, at once, however that process dies, so a
    restarted run waits for nothing but a living predecessor. Across hosts the run count of the server decides
    (tasks.run_status.Superseded). Raises RunLocked.
    """
    os.umask(0o077)  # results and accounts are the owner's alone, whoever started the worker and how
    with _lock_file(job_key).open("w") as lock:
        limit = time.monotonic() + WAIT_S
        while not _taken(lock):
            if time.monotonic() >= limit:
                raise RunLocked(f"another process still executes job {job_key} after {WAIT_S:.0f} s")
            time.sleep(0.5)  # flock knows no time limit of its own
        yield


def is_locked(job_key: str) -> bool:
    """Whether a process on this host executes the job just now."""
    with try_lock(job_key) as free:
        return not free


@contextmanager
def try_lock(job_key: str) -> Iterator[bool]:
    """Whether no process on this host executes the job; if so, none begins to before the block has ended."""
    with _lock_file(job_key).open("w") as lock:
        yield _taken(lock)


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(job_key: str) -> Path:
    folder = Path(PREFECT_LOCAL_STORAGE_PATH.value()).parent / "engines"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{job_key}.lock"
