"""How much memory this computer has for us: the host's, or what a container or service around us may use."""

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
    """GiB. Beyond the tightest limit of a control group around us the kernel kills, however much the host has."""
    return min([float(psutil.virtual_memory().total), *_limits(proc, mount)]) / GIB


def share_gib(memory_gib: float, vcpus: int, of_vcpus: int) -> float:
    """Memory in proportion to the CPUs, down to a hundredth: twice the CPUs never have less than twice the memory."""
    return math.floor(100 * memory_gib * vcpus / of_vcpus + 1e-6) / 100


def _limits(proc: Path, mount: Path) -> Iterator[float]:
    """Bytes. Linux' control groups: `memory.max` of version 2 ("max": none), `memory.limit_in_bytes` of version 1 (no
    limit is a number larger than any memory); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst."""
    with suppress(OSError):
        for line in proc.read_text().splitlines():
            _, _, rest = line.partition(":")
            controllers, _, group = rest.partition(":")
            if not controllers:
                yield from _along(mount, group, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _along(mount / "memory", group, "memory.limit_in_bytes")


def _along(root: Path, group: str, name: str) -> Iterator[float]:
    """Every limit from the group up; in a container its path may be the host's, and only the root is to be seen."""
    path = PurePosixPath(group.strip("/"))
    for one in (path, *path.parents):
        with suppress(OSError, ValueError):
            yield float(int((root / one / name).read_text()))
