"""Collect Dice's restart files in one archive that is replaced atomically.

Dice rewrites its .bkp files in place after each iteration. So they are copied only when they have not changed for a
while, and the copy is discarded if they change meanwhile.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spotwave.node.jobs.shci.programs.base import CheckpointMismatch, Iteration
from spotwave.node.untrusted.strict_json import load_object
from spotwave.node.untrusted.strict_model import whole

ARCHIVE = "dice.tar"
_STATE = "state.json"
_STILL = 2.0  # seconds without a change
_STATE_BYTES = 16 << 20
MOST_RANKS = 1024  # processes that a checkpoint may require
_LATE = 1.0  # seconds by which a line may be delayed by mpirun and pipes

Stamp = dict[str, tuple[int, int]]


@dataclass
class Archive:
    """Metadata of an archive, and its path."""

    task: dict[str, float]
    ranks: int  #: MPI processes, each with its own files
    iterations: list[Iteration]
    path: Path | None = None
    _gathered: Stamp = field(default_factory=dict)

    def require(self, task: dict[str, float]) -> None:
        """Raises CheckpointMismatch unless the archive belongs to this task."""
        if self.task != task:
            raise CheckpointMismatch(f"the checkpoint is of {self.task}, the calculation is {task}")

    def unpack(self, folder: Path) -> None:
        """Extract the restart files to the folder where Dice reads them."""
        if self.path is None:
            raise CheckpointMismatch("there is no archive to unpack")
        with tarfile.open(self.path) as tar:
            members = [member for member in tar.getmembers() if member.name.endswith(".bkp") and member.isfile()]
            tar.extractall(folder, members=members, filter="data")

    def gather(self, folder: Path, target: Path, read_at: list[tuple[float, Iteration]]) -> None:
        """Archive the .bkp files if they are new and unchanged for a while. read_at: time and iteration of each line.

        Dice prints an iteration before it writes the files, and the line may arrive slightly after the files. So they
        belong to the last iteration whose line was read before they were written or just after.
        """
        stamp = _stamp(folder)
        if not stamp or stamp == self._gathered or "0-variational.bkp" not in stamp:
            return
        newest = max(changed for changed, _ in stamp.values()) / 1e9
        if time.time() - newest < _STILL:
            return
        known = [iteration for moment, iteration in read_at if moment <= newest + _LATE]
        if not known:
            return
        iterations = [*self.iterations, *known]
        state = {"task": self.task, "ranks": self.ranks, "iterations": [asdict(one) for one in iterations]}
        partial = target.with_name(f".{target.name}.part")
        try:
            _pack(partial, [folder / name for name in sorted(stamp)], json.dumps(state).encode())
            if _stamp(folder) == stamp:
                partial.replace(target)
                self._gathered = stamp
        except OSError:  # a file shrank or vanished while it was read, or the disk is full
            if _stamp(folder) == stamp:
                raise
        finally:
            partial.unlink(missing_ok=True)


def _pack(archive: Path, files: list[Path], state: bytes) -> None:
    """Write the archive. Raises OSError, also if a file became shorter meanwhile."""
    with tarfile.open(archive, "w") as tar:
        for path in files:
            tar.add(path, arcname=path.name)
        member = tarfile.TarInfo(_STATE)
        member.size = len(state)
        tar.addfile(member, io.BytesIO(state))


def read_archive(path: Path) -> Archive | None:
    """Read the archive at `path`; None if there is none. Raises CheckpointMismatch if it cannot be read."""
    if not path.exists():
        return None
    try:
        with tarfile.open(path) as tar:
            stored = tar.extractfile(_STATE)
            if stored is None:
                raise CheckpointMismatch(f"{path.name} has no state")
            state: dict[str, Any] = load_object(stored.read(_STATE_BYTES + 1), _STATE_BYTES)
        iterations = [Iteration(**one) for one in state["iterations"]]
        return Archive(dict(state["task"]), whole(1, MOST_RANKS)(state["ranks"]), iterations, path)
    except (tarfile.TarError, KeyError, TypeError, ValueError, EOFError) as error:
        raise CheckpointMismatch(f"{path.name} cannot be read: {error}") from error


def _stamp(folder: Path) -> Stamp:
    """Return modification time (ns) and size of each restart file."""
    stamp: Stamp = {}
    for path in folder.glob("*.bkp"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        stamp[path.name] = (status.st_mtime_ns, status.st_size)
    return stamp
