"""Where Spotwave keeps its state on the controller, and where it brings results."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_state_path

ENV_HOME = "SPOTWAVE_HOME"
ENV_RESULTS = "SPOTWAVE_RESULTS"  #: the folder in which a run collects its results, a folder a job; an absolute path
ENV_RESULTS_HOST = "SPOTWAVE_RESULTS_HOST"  #: the computer that this folder is on; not set: the one that asks

_LONGEST = 4000  # bytes of a path; Linux takes 4096


def home(environment: Mapping[str, str] | None = None) -> Path:
    """$SPOTWAVE_HOME, else the platform's folder for the state of a user's programs (Linux: ~/.local/state/spotwave).

    An absolute path; nothing is created. environment: default is this process's own.
    """
    named = (os.environ if environment is None else environment).get(ENV_HOME)
    return Path(named).expanduser().resolve() if named else user_state_path("spotwave", appauthor=False).resolve()


def results_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where this process's run collects its results, in a folder for each job: $SPOTWAVE_RESULTS if it is a folder of
    this computer, else `results` in the home.

    A run that was started by `spotwave run` has $SPOTWAVE_RESULTS from there, whichever controller executes it. An
    absolute path; nothing is created. Raises ValueError, one line for the user.
    """
    asked = os.environ if environment is None else environment
    named, host = asked.get(ENV_RESULTS), asked.get(ENV_RESULTS_HOST)
    if not named or (host and host != socket.gethostname()):
        return home(asked) / "results"
    return checked_results(named)


def checked_results(named: str) -> Path:
    """The folder that $SPOTWAVE_RESULTS names. Raises ValueError, one line for the user."""
    if not named.isprintable() or len(os.fsencode(named)) > _LONGEST:
        raise ValueError(
            f"{ENV_RESULTS}: a path has at most {_LONGEST} bytes and no control characters; name another folder"
        )
    if not Path(named).is_absolute() or ".." in Path(named).parts:
        raise ValueError(f"{ENV_RESULTS}: '{named}' is not an absolute path; write the folder's path from the root")
    return Path(named)


def absolute(folder: str | Path) -> Path:
    """A folder as the user wrote it ('~', relative to the working directory), made absolute."""
    return Path(folder).expanduser().absolute()
