"""Which installation of Spotwave the server and the controller's worker run, noted beside the notes on their processes.

One home may be used from several installations: a checkout, a wheel, the same one after an upgrade. Processes keep the
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
    """A package on this computer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    package: str = Field(min_length=1, max_length=5000)  #: its folder
    version: str = Field(min_length=1, max_length=200)

    def __str__(self) -> str:
        return f"Spotwave {self.version} in {self.package}"


class Installations(BaseModel):
    """The note: what each process was started from. None: an earlier version, which noted nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    server: Installation | None = None
    worker: Installation | None = None


def this() -> Installation:
    """The one that runs this."""
    return Installation(package=str(Path(spotwave.__file__).resolve().parent), version=spotwave.__version__)


def noted(home: Home) -> Installations:
    """An unreadable note counts as none: then the processes are restarted, which does no harm."""
    try:
        return Installations.model_validate(load_file(_note(home)))
    except (FileNotFoundError, BadJson, ValidationError):
        return Installations()


def note(home: Home, process: Process) -> None:
    """This installation has just started the process."""
    write_text(_note(home), noted(home).model_copy(update={process: this()}).model_dump_json())


def _note(home: Home) -> Path:
    return home.run / "installations.json"
