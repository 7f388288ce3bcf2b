"""The type of the functions that commands use to report progress."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]  #: called with one line of text for the user
