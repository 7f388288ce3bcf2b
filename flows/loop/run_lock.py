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


_EXECUTION = "executing"


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


@contextmanager
def executing(job_key: str) -> Iterator[None]:
    """Show on this host that the run is being executed, from before its flow begins until its state is reported.

    Needed for runs in threads: a thread, unlike a process, cannot be seen from outside. Shared, since a resumed run may
    begin while its former thread still terminates its machine.
    """
    path = _lock_file(job_key, _EXECUTION)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if not _lock_file(job_key).exists():  # not a job, which may be restarted: one file less per run
                path.unlink(missing_ok=True)


def is_locked(job_key: str) -> bool:
    """Whether a process or thread on this host executes the job now."""
    return _held(_lock_file(job_key)) or _held(_lock_file(job_key, _EXECUTION))


@contextmanager
def try_lock(job_key: str) -> Iterator[bool]:
    """Yield whether no process on this host executes the job; if so, none can start to before the block ends."""
    with _lock_file(job_key).open("w") as lock:
        yield _taken(lock)


def _held(path: Path) -> bool:
    try:
        with path.open() as lock:
            return not _taken(lock)
    except FileNotFoundError:
        return False


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_file(job_key: str, ending: str = "lock") -> Path:
    folder = Path(PREFECT_LOCAL_STORAGE_PATH.value()).parent / "engines"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{job_key}.{ending}"
