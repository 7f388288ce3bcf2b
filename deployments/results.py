"""The results folder of a run that is started in the terminal: `results/` in the working directory."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from spotwave.blocks.home import ENV_RESULTS, ENV_RESULTS_HOST, checked_results
from spotwave.deployments.home import Home


def results_here(home: Home) -> Path:
    """Return `results` in the working directory if this user can write and owns it, else the home's.

    Nothing is created.
    """
    try:
        folder = checked_results(str(Path.cwd() / "results"))
    except (OSError, ValueError):  # the working directory was removed, or its name cannot be passed to Prefect
        return home.results
    if os.path.lexists(folder):
        suits = folder.is_dir() and folder.stat().st_uid == os.geteuid() and _may_write(folder)
    else:
        suits = _may_write(folder.parent)
    return folder if suits else home.results


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def job_variables(results: Path) -> dict[str, Any]:
    """Return Prefect's job variables with the results folder, so that a resumed run uses the same folder.

    The name of this computer is included: a controller on another computer that shares the API uses its own home.
    """
    return {"env": {ENV_RESULTS: str(results), ENV_RESULTS_HOST: socket.gethostname()}}


def collected(job_key: str, *places: Path) -> Path | None:
    """Return the folder of the job's results in the first of the places that has them, or None."""
    return next((place / job_key for place in places if (place / job_key / "result.json").exists()), None)
