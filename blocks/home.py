"""Folders of the controller: Spotwave's state, and the results of jobs."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

ENV_HOME = "SPOTWAVE_HOME"
ENV_RESULTS = "SPOTWAVE_RESULTS"  #: folder in which a run collects results, one subfolder per job; an absolute path
ENV_RESULTS_HOST = "SPOTWAVE_RESULTS_HOST"  #: host name of the computer with that folder; not set: this computer

_LONGEST = 4000  # bytes of a path; the limit of Linux is 4096


def home(environment: Mapping[str, str] | None = None) -> Path:
    """Return $SPOTWAVE_HOME, else the platform's folder for user state (Linux: ~/.local/state/spotwave).

    The path is absolute; nothing is created. environment: default is that of this process.
    """
    named = (os.environ if environment is None else environment).get(ENV_HOME)
    return Path(named).expanduser().resolve() if named else user_state_path("spotwave", appauthor=False).resolve()


def results_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder in which this process's run collects results, one subfolder per job: $SPOTWAVE_RESULTS if it
    is a folder of this computer, else `results` in the home.

    `spotwave run` sets $SPOTWAVE_RESULTS on its run, whichever controller executes it. The path is absolute; nothing
    is created. Raises ValueError with one line for the user.
    """
    asked = os.environ if environment is None else environment
    named, host = asked.get(ENV_RESULTS), asked.get(ENV_RESULTS_HOST)
    if not named or (host and host != socket.gethostname()):
        return home(asked) / "results"
    return checked_results(named)


def environment_of(job_variables: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the environment variables of a run's job variables: `env: {NAME: ...}`, or `env.NAME`; None: not set."""
    given = job_variables or {}
    found = given.get("env")
    apart = {name.removeprefix("env."): value for name, value in given.items() if name.startswith("env.")}
    both = {**(found if isinstance(found, dict) else {}), **apart}
    return {name: str(value) for name, value in both.items() if value is not None}


def checked_results(named: str) -> Path:
    """Validate the value of $SPOTWAVE_RESULTS. Raises ValueError with one line for the user."""
    if not named.isprintable() or len(os.fsencode(named)) > _LONGEST:
        raise ValueError(
            f"{ENV_RESULTS}: a path has at most {_LONGEST} bytes and no control characters; use another folder"
        )
    if not Path(named).is_absolute() or ".." in Path(named).parts:
        raise ValueError(f"{ENV_RESULTS}: '{named}' is not an absolute path; write the path from the root '/'")
    return Path(named)


def absolute(folder: str | Path) -> Path:
    """Make a folder from the user ('~', or relative to the working directory) absolute."""
    return Path(folder).expanduser().absolute()
