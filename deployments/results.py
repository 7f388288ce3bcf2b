"""Where the results of a run go that is started in the terminal: `results/` of the working directory."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from spotwave.blocks.home import ENV_RESULTS, ENV_RESULTS_HOST, checked_results
from spotwave.deployments.home import Home


def results_here(home: Home) -> Path:
    """`results` in the working directory; the home's where this user cannot write there, or the folder is another
    user's. Nothing is created."""
    try:
        folder = checked_results(str(Path.cwd() / "results"))
    except (OSError, ValueError):  # the working directory has been removed, or its name cannot be passed on
        return home.results
    if os.path.lexists(folder):
        suits = folder.is_dir() and folder.stat().st_uid == os.geteuid() and _may_write(folder)
    else:
        suits = _may_write(folder.parent)
    return folder if suits else home.results


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def job_variables(results: Path) -> dict[str, Any]:
    """For Prefect: the run takes its folder along, so that it has the same one when it is taken up again.

    With the name of this computer: a controller elsewhere that shares the API uses its own home.
    """
    return {"env": {ENV_RESULTS: str(results), ENV_RESULTS_HOST: socket.gethostname()}}


def collected(job_key: str, *places: Path) -> Path | None:
    """The folder of the job's results in the first of these places that has its result; None if none has."""
    return next((place / job_key for place in places if (place / job_key / "result.json").exists()), None)
