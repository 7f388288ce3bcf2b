"""`clean`: away with what `up` has made for this home, when nothing of it runs any more."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from spotwave.deployments.api import remove_prefect_toml
from spotwave.deployments.home import Home
from spotwave.deployments.profile import remove_profile

Say = Callable[[str], None]


def clean(home: Home, say: Say) -> None:
    """Remove the state of the home, and the Prefect profile; results stay. Safe to repeat."""
    if remove_profile():
        say("Prefect profile 'spotwave' removed")
    remove_prefect_toml(home)
    for part in home.parts:  # by name: a home may be a folder that holds more than ours
        shutil.rmtree(part, ignore_errors=True)
    if home.path.is_dir() and not any(home.path.iterdir()):
        home.path.rmdir()
    say(f"{home.path} {'emptied of all that was ours' if home.path.exists() else 'removed'}")
