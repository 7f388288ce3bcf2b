"""Checkpoint of the bundled CI programs: one file, replaced atomically, with wave function and state.

Since it is one file, the determinants of one iteration are never combined with the energy of another.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spotwave.node.jobs.shci.programs import plausible_values
from spotwave.node.jobs.shci.programs.base import CheckpointMismatch, CheckpointState, Iteration, Stage
from spotwave.node.untrusted.strict_json import load_object

_STATE_BYTES = 16 << 20  # mostly iterations, about a hundred bytes each


@dataclass(frozen=True)
class Snapshot:
    """A wave function and its history."""

    task: dict[str, Any]  #: what identifies the calculation; compared before a restart
    stage: Stage
    energy: float  #: variational, Hartree
    arrays: dict[str, NDArray[Any]]  #: the wave function; the arrays depend on the program
    iterations: list[Iteration] = field(default_factory=list)
    total_energy: float | None = None  #: Hartree, after the perturbative stage

    def write(self, path: Path) -> None:
        """Write atomically: temporary name, fsync, rename, fsync of the folder."""
        state = {
            "task": self.task,
            "stage": self.stage,
            "energy": self.energy,
            "total_energy": self.total_energy,
            "iterations": [asdict(one) for one in self.iterations],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        with partial.open("wb") as file:
            arrays: dict[str, Any] = {"state": np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)}
            np.savez(file, **(arrays | self.arrays))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def require(self, task: dict[str, Any], arrays: set[str]) -> None:
        """Raise CheckpointMismatch unless it is of this task, with the same or a larger eps1, and has these arrays."""
        if self.task | {"eps1": None} != task | {"eps1": None} or not self._eps1 >= task["eps1"]:
            raise CheckpointMismatch(f"the checkpoint is of {self.task}, the calculation is {task}")
        if missing := arrays - set(self.arrays):
            raise CheckpointMismatch(f"the checkpoint has no {', '.join(sorted(missing))}")

    @property
    def _eps1(self) -> float:
        value = self.task.get("eps1")
        return value if isinstance(value, float) else float("nan")

    def is_coarser_than(self, task: dict[str, Any]) -> bool:
        """Return whether it was selected with a larger eps1: then it is a start, and never finished."""
        return self._eps1 > float(task["eps1"])

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read a snapshot. Raises CheckpointMismatch if it is damaged, FileNotFoundError if missing."""
        state, arrays = _load(path, with_arrays=True)
        try:
            total = state["total_energy"]
            return cls(
                task=dict(state["task"]),
                stage=Stage(state["stage"]),
                energy=plausible_values.energy("its energy", state["energy"]),
                arrays=arrays,
                iterations=[Iteration(**one) for one in state["iterations"]],
                total_energy=None if total is None else plausible_values.energy("its total energy", total),
            )
        except (ValueError, TypeError) as error:
            raise CheckpointMismatch(f"{path.name} cannot be read: {error}") from error


def read_state(path: Path) -> CheckpointState | None:
    """Read the state without the wave function; None if there is no file."""
    if not path.exists():
        return None
    state, _ = _load(path, with_arrays=False)
    try:
        iterations = [Iteration(**one) for one in state["iterations"]]
        last = iterations[-1] if iterations else Iteration(0, 0, 0.0, 0.0)
        energy = plausible_values.energy("its energy", state["energy"])
        return CheckpointState(Stage(state["stage"]), energy, last.determinants, last.number)
    except (ValueError, TypeError) as error:
        raise CheckpointMismatch(f"{path.name} cannot be read: {error}") from error


def _load(path: Path, *, with_arrays: bool) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = load_object(stored["state"].tobytes(), _STATE_BYTES)
            if {"task", "stage", "energy", "total_energy", "iterations"} - set(state):
                raise CheckpointMismatch(f"{path.name} is of another version")
            return state, {name: stored[name] for name in stored.files if with_arrays and name != "state"}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, TypeError) as error:
        raise CheckpointMismatch(f"{path.name} cannot be read: {error}") from error
