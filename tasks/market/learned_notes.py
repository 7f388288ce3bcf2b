"""What earlier jobs left in the snapshot store, read as strictly as what a machine says: it is what machines said.

A note that does not fit is passed over. Nothing of it is needed to compute, and one bad figure must not decide where
all later jobs run.
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
    """How long the work took (tasks.market.speed.learned)."""

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


def untold(_line: str) -> None:
    """Nobody listens."""


def runs(store: SnapshotStore, warn: Warn = untold) -> list[dict[str, Any]]:
    """All finished jobs. Raises StoreUnavailable."""
    return [run.model_dump() for run in _fit(Run, store, RUNS, warn)]


def losses(store: SnapshotStore, day: datetime, warn: Warn = untold) -> list[Loss]:
    """Of one day. Raises StoreUnavailable."""
    return _fit(Loss, store, f"{LOSSES}/{day:%Y-%m-%d}", warn)


def _fit(kind: type[N], store: SnapshotStore, folder: str, warn: Warn) -> list[N]:
    found = []
    for note in store.notes(folder, warn):
        try:
            found.append(kind.model_validate(note))
        except ValidationError as error:
            warn(f"a note in {folder} of the store is passed over: {first_problem(error)}")
    return found
