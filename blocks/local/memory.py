"""Memory of this computer available to Spotwave: the host's, or the limit of its container or service."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

GIB = 1 << 30
PROC = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def host_memory_gib(proc: Path = PROC, mount: Path = MOUNT) -> float:
    """Return GiB, at most the tightest limit of the control groups, beyond which the kernel kills processes."""
    return min([float(psutil.virtual_memory().total), *_limits(proc, mount)]) / GIB


def share_gib(memory_gib: float, vcpus: int, of_vcpus: int) -> float:
    """Return memory in proportion to the CPUs, rounded down to 0.01: twice the CPUs have at least twice the memory."""
    return math.floor(100 * memory_gib * vcpus / of_vcpus + 1e-6) / 100


def _limits(proc: Path, mount: Path) -> Iterator[float]:
    """Yield the limits in bytes. Linux control groups: `memory.max` of version 2 ("max": none),
    `memory.limit_in_bytes` of version 1 (a number larger than any memory: none);
    Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst."""
    with suppress(OSError):
        for line in proc.read_text().splitlines():
            _, _, rest = line.partition(":")
            controllers, _, group = rest.partition(":")
            if not controllers:
                yield from _ancestors(mount, group, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _ancestors(mount / "memory", group, "memory.limit_in_bytes")


def _ancestors(root: Path, group: str, name: str) -> Iterator[float]:
    """Yield every limit from the group upwards; in a container the path may be the host's, and only the root exists."""
    path = PurePosixPath(group.strip("/"))
    for one in (path, *path.parents):
        with suppress(OSError, ValueError):
            yield float(int((root / one / name).read_text()))
