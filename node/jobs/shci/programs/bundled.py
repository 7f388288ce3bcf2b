"""Common driver of the CI programs that come with Spotwave: they report events and keep one snapshot file."""

from __future__ import annotations

from pathlib import Path

from spotwave.node.jobs.shci.architectures import EVERY_ARCHITECTURE, Architecture
from spotwave.node.jobs.shci.programs.base import (
    CheckpointState,
    SolverTask,
)
from spotwave.node.jobs.shci.programs.events import EventReader
from spotwave.node.jobs.shci.programs.snapshot import read_state


class BundledProgram:
    """A program of `node.jobs.shci.programs`, run as a module in its own process; needs nothing on PATH."""

    name: str
    snapshot: str  #: name of its checkpoint, one file that is replaced atomically
    executables: tuple[str, ...] = ()
    starts_anywhere = True
    architectures: tuple[Architecture, ...] = EVERY_ARCHITECTURE  # PyCI, PySCF and rclone have Linux wheels for both

    def folder(self, task: SolverTask) -> Path:
        return task.output

    def reader(self, task: SolverTask) -> EventReader:
        return EventReader(self.name)

    def checkpoint_files(self, task: SolverTask) -> list[Path]:
        path = task.checkpoint / self.snapshot
        return [path] if path.exists() else []

    def checkpoint_state(self, folder: Path) -> CheckpointState | None:
        return read_state(folder / self.snapshot)
