"""A control group with a memory limit, in which the kernel's OOM killer acts; only root may create one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_MOUNT = Path("/sys/fs/cgroup")


@contextmanager
def small_group(mib: int) -> Iterator[Path]:
    """Yield the file to which a process writes its pid to join. Skips the test if no group can be created."""
    name = f"spotwave-test-{os.getpid()}"
    old = (_MOUNT / "memory").is_dir()
    group = (_MOUNT / "memory" if old else _MOUNT) / name
    limit = "memory.limit_in_bytes" if old else "memory.max"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be created here: {error}")
    try:
        try:
            (group / limit).write_text(str(mib << 20))
            for swap in ("memory.memsw.limit_in_bytes", "memory.swap.max"):
                if (group / swap).exists():
                    (group / swap).write_text(str(mib << 20) if old else "0")
        except OSError as error:
            pytest.skip(f"no limit can be set here: {error}")
        yield group / "cgroup.procs"
    finally:
        limit_s = time.monotonic() + 10
        while group.exists() and time.monotonic() < limit_s:
            with suppress(OSError):  # while its last process is ending
                group.rmdir()
            time.sleep(0.02)
