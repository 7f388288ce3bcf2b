"""How the commands speak in the terminal, and the home that they work on."""

from __future__ import annotations

import sys

from rich.console import Console

from spotwave.deployments.home import Home, home_of

console = Console()
errors = Console(stderr=True)


def say(message: str) -> None:
    """A line as it is, without markup."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def say_raw(text: str) -> None:
    """For other programs."""
    sys.stdout.write(f"{text}\n")


def wide() -> Console:
    """For tables: as wide as they need, even if the terminal is not, for cells that are cut tell nothing."""
    return Console(width=max(console.width, 140))


def own_home() -> Home:
    """Raises NotOurs."""
    found = home_of()
    found.check_ours()
    return found
