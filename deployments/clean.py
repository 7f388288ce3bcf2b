"""`clean`: remove what `up` has made, when nothing of it runs any more; the user's state only if that is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from spotwave.deployments.api import remove_prefect_toml
from spotwave.deployments.home import Home
from spotwave.deployments.profile import remove_profile

Say = Callable[[str], None]


def clean(home: Home, say: Say, state: bool = False) -> None:
    """Remove the Prefect profile and temporary files; with `state` all that the home holds but results: blocks,
    jobs, budgets, the ledger of spending, checkpoints. Safe to repeat."""
    if remove_profile():
        say("Prefect profile 'spotwave' removed")
    remove_prefect_toml(home.path)
    for part in home.parts if state else (home.temporary,):  # by name: a home may hold other files
        shutil.rmtree(part, ignore_errors=True)
    if not state:
        if home.path.exists():
            say(f"state kept in {home.path}; `spotwave clean --state` removes it")
        return
    for folder in (home.results, home.path):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    kept = " but results, or files that are not Spotwave's" if home.path.exists() else ""
    say(f"state removed: {home.path}{kept}")
