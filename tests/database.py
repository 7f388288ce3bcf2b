"""A new Prefect database, created once per test session and copied for each server.

Prefect's migrations take ten CPU seconds, and the suite starts a dozen servers. One test starts without a database
(tests/deployments/test_shared_computer.py).
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

# Set by the first process, which ends last; those that pytest-xdist starts inherit it.
_FOLDER = "TESTS_DATABASE_FOLDER"
if _FOLDER not in os.environ:
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="spotwave-tests-")
    atexit.register(shutil.rmtree, os.environ[_FOLDER], ignore_errors=True)


def fresh_database(path: Path) -> None:
    """Copy the database to `path`, accessible to the owner only, unless the file exists."""
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
    """Run Prefect's own test server with such a database, without worker and password."""
    # Imported here: it imports Prefect's whole server, in each process of the tests.
    from prefect.testing.utilities import prefect_test_harness

    folder = tempfile.mkdtemp(prefix="spotwave-tests-")  # the harness removes it
    fresh_database(Path(folder) / "prefect-test.db")  # the file name that the harness uses
    with patch("prefect.testing.utilities.mkdtemp", lambda: folder), prefect_test_harness(server_startup_timeout=240):
        yield


def _make(home: Path) -> None:
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
    subprocess.run(command, env=environment | {"PREFECT_HOME": str(home)}, check=True, capture_output=True, timeout=240)
