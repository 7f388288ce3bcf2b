"""Terminal output of the commands, and the home that they use."""

from __future__ import annotations

import sys

from rich.console import Console

from spotwave.deployments.home import Home, home_of

console = Console()
errors = Console(stderr=True)


def print_line(message: str) -> None:
    """Print one line without interpreting markup."""
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def print_raw(text: str) -> None:
    """Print text for other programs, unformatted."""
    sys.stdout.write(f"{text}\n")


def wide() -> Console:
    """Return a console for tables that is wide enough not to cut cells, even in a narrow terminal."""
    return Console(width=max(console.width, 140))


def own_home() -> Home:
    """Return the home of this environment. Raises HomeUnusable if it is another user's."""
    found = home_of()
    found.check_owner()
    return found
