"""`clean`: remove what `up` has created, after `down`; the user's state only on request."""

from __future__ import annotations

import shutil

from spotwave.deployments.api import remove_prefect_toml
from spotwave.deployments.home import Home
from spotwave.deployments.profile import remove_profile
from spotwave.deployments.report import Report


def clean(home: Home, report: Report, state: bool = False) -> None:
    """Remove the Prefect profile and temporary files. Safe to repeat.

    With `state`, also remove everything in the home except results: blocks, jobs, budgets, the ledger of spending,
    checkpoints.
    """
    if remove_profile():
        report("Prefect profile 'spotwave' removed")
    remove_prefect_toml(home.path)
    for part in home.parts if state else (home.temporary,):  # by name: the folder may contain other files
        shutil.rmtree(part, ignore_errors=True)
    if not state:
        if home.path.exists():
            report(f"state kept in {home.path}; `spotwave clean --state` removes it")
        return
    for folder in (home.results, home.path):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    kept = ", except results and files that Spotwave did not create" if home.path.exists() else ""
    report(f"state removed: {home.path}{kept}")
