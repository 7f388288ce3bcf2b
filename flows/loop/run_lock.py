"""One engine per run: the lock that keeps a restarted flow run from being executed twice at the same time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

WAIT_S = 600.0  # a job that was suspended and resumed at once must first save and terminate its machine


class RunLocked(RuntimeError):
    """Another process on this host still executes the same run."""


@contextmanager
def run_lock(job_key: str) -> Iterator[None]:
    """Hold the job's lock while executing it. Raises RunLocked.

    It is a kernel lock (flock), which is released when its process ends for whatever reason. So a restarted run only
    waits for a predecessor that is still running. Across hosts, the server's run count decides
    (tasks.run_status.Superseded).
    """
    os.umask(0o077)  # results and billing records are readable by the owner only, however the worker was started
    with _lock_file(job_key).open("w") as lock:
        limit = time.monotonic() + WAIT_S
        while not _taken(lock):
            if time.monotonic() >= limit:
                raise RunLocked(f"another process still executes job {job_key} after {WAIT_S:.0f} s")
            time.sleep(0.5)  # flock has no timeout
        yield


def is_locked(job_key: str) -> bool:
    """Whether a process on this host executes the job now."""
    with try_lock(job_key) as free:
        return not free


@contextmanager
def try_lock(job_key: str) -> Iterator[bool]:
    """Yield whether no process on this host executes the job; if so, none can start to before the block ends."""
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
