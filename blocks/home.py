"""Where Spotwave keeps what is its own on the controller: $SPOTWAVE_HOME, else ./.spotwave."""

from __future__ import annotations

import os
from pathlib import Path

ENV_HOME = "SPOTWAVE_HOME"
ENV_RESULTS = "SPOTWAVE_RESULTS"  # where the controller collects results, a folder a job


def home() -> Path:
    """An absolute path; nothing is created."""
    return absolute(os.environ.get(ENV_HOME) or ".spotwave")


def absolute(folder: str | Path) -> Path:
    """A folder as the user wrote it ('~', relative to the working directory), made absolute."""
    return Path(folder).expanduser().absolute()


def results_folder() -> Path:
    """Where the controller collects results, a folder a job: $SPOTWAVE_RESULTS, else `results/` here."""
    return absolute(os.environ.get(ENV_RESULTS) or "results")
