"""Small disks that can be filled, and folders that can be made read-only; both require root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILLER = ".filler"


def may_mount() -> bool:
    """Whether this process may mount."""
    if os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode == 0


@contextmanager
def mounted(folder: Path, mib: int) -> Iterator[None]:
    """Mount a disk of that many MiB at the folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "none", str(folder)], check=True)
    try:
        yield
    finally:
        # Mounts below it first; lazily, since a terminating process may still have a file open.
        subprocess.run(["umount", "--lazy", "--recursive", str(folder)], check=False)


def fill(disk: Path) -> None:
    """Write until the disk is full."""
    with (disk / FILLER).open("wb") as filler:
        for size in (1 << 20, 1 << 12, 1):
            while _written(filler.fileno(), size):
                pass


def _written(descriptor: int, size: int) -> bool:
    try:
        os.write(descriptor, b"\0" * size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def free(disk: Path) -> None:
    (disk / FILLER).unlink(missing_ok=True)


def make_read_only(folder: Path, pid: int) -> None:
    """Make the folder read-only for files opened from now on, in the mount namespace of that process."""
    in_namespace = ["nsenter", "--target", str(pid), "--mount", "mount"]
    subprocess.run([*in_namespace, "--bind", str(folder), str(folder)], check=True)
    subprocess.run([*in_namespace, "-o", "remount,bind,ro", str(folder)], check=True)


def forget_read_only(folder: Path) -> None:
    """Remove the read-only mount of a machine without its own namespace."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    if str(folder) in (line.split()[4] for line in mounts):  # `ismount` does not detect a folder bound to itself
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
