"""Prefect's database as a server leaves it that has just begun: made once a run of the tests, then copied.

Making it takes ten seconds of a core (Prefect's migrations), and a dozen servers begin in the suite. One of them begins
with nothing at all (tests/deployments/test_shared_computer.py).
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from filelock import FileLock
from prefect.testing.utilities import prefect_test_harness

# Set by the first process, which ends last; those that pytest-xdist starts inherit it.
_FOLDER = "TESTS_DATABASE_FOLDER"
if _FOLDER not in os.environ:
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="spotwave-tests-")
    atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)


def fresh_database(path: Path) -> None:
    """Put one there, closed to others, unless there is one."""
    folder = Path(os.environ[_FOLDER])
    made = folder / "made" / "prefect.db"
    with FileLock(folder / "lock"):
        if not made.exists():
            _make(folder / "begun")
            (folder / "begun").rename(made.parent)
    if not path.exists():
        shutil.copyfile(made, path)
        path.chmod(0o600)


@contextmanager
def prefect_server() -> Iterator[None]:
    """Prefect's own server for tests, on such a database: no worker, no password."""
    folder = tempfile.mkdtemp(prefix="spotwave-tests-")  # the harness removes it
    fresh_database(Path(folder) / "prefect-test.db")  # the name that it takes
    with patch("prefect.testing.utilities.mkdtemp", lambda: folder), prefect_test_harness(server_startup_timeout=240):
        yield


def _make(home: Path) -> None:
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    subprocess.run(command, env=environment | {"PREFECT_HOME": str(home)}, check=True, capture_output=True, timeout=240)
