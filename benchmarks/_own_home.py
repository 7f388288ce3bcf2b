"""A home of its own for a benchmark, and waiting with a limit."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spotwave.deployments.down import down
from spotwave.deployments.home import Home


def quiet(line: str) -> None:
    """Report nothing."""


@contextmanager
def own_home() -> Iterator[Home]:
    """Yield an empty home, on a free port; at the end, run `down` and remove it."""
    with TemporaryDirectory(prefix="spotwave-bench-") as folder:
        home = Home(Path(folder).resolve())
        home.create()
        (home.run / "port").write_text("0")
        os.environ.update(PREFECT_API_URL="", SPOTWAVE_HOME=str(home.path))
        try:
            yield home
        finally:
            down(home, quiet)


def first(what: str, look: Callable[[], Any], within_s: float = 120.0, every_s: float = 0.1) -> Any:
    """Return the first true value of `look`; end the benchmark after `within_s` seconds."""
    limit = time.monotonic() + within_s
    while time.monotonic() < limit:
        if found := look():
            return found
        time.sleep(every_s)
    sys.exit(f"not within {within_s:.0f} s: {what}")
