"""Notes of earlier jobs in the snapshot store, validated as strictly as reports of machines, from which they come.

Invalid notes are skipped. None of them is necessary, and one bad figure must not decide where all later jobs run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from spotwave.blocks.snapshots import SnapshotStore
from spotwave.blocks.validation import first_problem

RUNS = "runs/v1"
LOSSES = "losses/v1"

_Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
_Word = Annotated[str, Field(max_length=200)]
N = TypeVar("N", bound=BaseModel)
Warn = Callable[[str], object]


class Run(BaseModel):
    """Duration of a job's work (tasks.market.speed.learned)."""

    model_config = ConfigDict(frozen=True)

    kind: _Word
    work: _Word
    cloud: _Word
    family: _Word
    core_h: _Positive
    assumed: _Positive


class Loss(BaseModel):
    """A pool that refused or lost a machine."""

    model_config = ConfigDict(frozen=True)

    offer: _Word
    what: _Word
    at: AwareDatetime


def ignore_warning(_line: str) -> None:
    """Ignore the warning."""


def runs(store: SnapshotStore, warn: Warn = ignore_warning) -> list[dict[str, Any]]:
    """Return the notes of all finished jobs. Raises StoreUnavailable."""
    return [run.model_dump() for run in _fit(Run, store, RUNS, warn)]


def losses(store: SnapshotStore, day: datetime, warn: Warn = ignore_warning) -> list[Loss]:
    """Return the losses of one day. Raises StoreUnavailable."""
    return _fit(Loss, store, f"{LOSSES}/{day:%Y-%m-%d}", warn)


def _fit(kind: type[N], store: SnapshotStore, folder: str, warn: Warn) -> list[N]:
    found = []
    for note in store.notes(folder, warn):
        try:
            found.append(kind.model_validate(note))
        except ValidationError as error:
            warn(f"skipped an invalid note in {folder} of the store: {first_problem(error)}")
    return found
