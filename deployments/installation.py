"""Record of the installation of Spotwave that started the server and the controller's worker.

A home may be used from several installations: a checkout, a wheel, the same one after an upgrade. Processes keep the
code that they were started with; `up` restarts those of another installation (deployments/restart.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import spotwave
from spotwave.deployments.home import Home
from spotwave.node.contract import write_text
from spotwave.node.untrusted.strict_json import BadJson, load_file

Process = Literal["server", "worker"]


class Installation(BaseModel):
    """An installed package on this computer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    package: str = Field(min_length=1, max_length=5000)  #: its folder
    version: str = Field(min_length=1, max_length=200)

    def __str__(self) -> str:
        return f"Spotwave {self.version} in {self.package}"


class Installations(BaseModel):
    """The installation that started each process. None: an earlier version, which recorded nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    server: Installation | None = None
    worker: Installation | None = None


def current() -> Installation:
    """Return the running installation."""
    return Installation(package=str(Path(spotwave.__file__).resolve().parent), version=spotwave.__version__)


def noted(home: Home) -> Installations:
    """Return the recorded installations; an unreadable note counts as empty, which only causes a restart."""
    try:
        return Installations.model_validate(load_file(_note(home)))
    except (FileNotFoundError, BadJson, ValidationError):
        return Installations()


def note(home: Home, process: Process) -> None:
    """Record that this installation has started the process."""
    write_text(_note(home), noted(home).model_copy(update={process: current()}).model_dump_json())


def _note(home: Home) -> Path:
    return home.run / "installations.json"
