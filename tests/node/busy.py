"""Run programs that modify their files at the very moment when these are read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOP = """
import os, sys, time
path = sys.argv[1]
print("up", flush=True)
for n in range(1, 1 << 31):
    {body}
"""


@contextmanager
def busy(body: str, path: Path) -> Iterator[None]:
    """A process that runs `body` in a loop, with `os`, `time`, the `path` and the loop counter `n`."""
    command = [sys.executable, "-c", _LOOP.format(body=body), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline()
            yield
            assert program.poll() is None, "it ran the whole time"
        finally:
            program.kill()
