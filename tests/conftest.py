"""Fixtures for all tests: isolation from the developer's Prefect, and one embedded server for end-to-end tests.

A developer's own server may run during the tests, with its address in a profile. Therefore the environment is set
before Prefect is imported, and everything that is started gets a separate home.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_OWN = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "SPOTWAVE_"))}
os.environ.clear()
os.environ.update(_OWN)
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="spotwave-tests-")
os.environ["PREFECT_API_URL"] = ""  # overrides any profile; empty means "none configured"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["XDG_STATE_HOME"] = os.environ["PREFECT_HOME"]  # not the developer's own home, if a test names none
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)

import socket  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator, Mapping  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402

from spotwave.blocks.local.block import LocalCloud  # noqa: E402
from spotwave.deployments.api import Api  # noqa: E402
from spotwave.deployments.home import Home  # noqa: E402
from spotwave.deployments.processes import marked  # noqa: E402
from spotwave.deployments.server import own_url  # noqa: E402
from tests.database import fresh_database, prefect_server  # noqa: E402
from tests.faults.hooked import Hooked  # noqa: E402
from tests.one_server import OneServerScheduling, check_listed  # noqa: E402
from tests.processes import words  # noqa: E402
from tests.thorough_cases import check_names, is_thorough  # noqa: E402

_UP_S = 240.0
MANY_VCPUS = 64  # number that the local cloud of the embedded servers here pretends to have

# Where the embedded server's processes look for this computer's managed identity (azure-identity). An emulator may
# serve it; until then the port is reserved.
LOGIN = socket.create_server(("127.0.0.1", 0))
_OWN["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = f"http://127.0.0.1:{LOGIN.getsockname()[1]}"


@dataclass(frozen=True)
class Embedded:
    """A running installation: embedded server, controller's worker, pools, blocks, deployments."""

    home: Home
    api: Api
    environment: dict[str, str]  #: for commands that use it
    python: str = sys.executable  #: the Python that runs all its processes
    settings: Mapping[str, str] = field(default_factory=dict)  #: settings of the server, such as its database

    def spotwave(self, *arguments: str, timeout_s: float = _UP_S, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the console command on this home, from its folder; `more` goes into the environment."""
        return run_spotwave(self.home, *arguments, timeout_s=timeout_s, python=self.python, **{**self.settings, **more})

    def left(self) -> list[str]:
        """Return the running processes of this home, machines included, as readable lines."""
        return processes_of(self.home)


def run_spotwave(
    home: Home, *arguments: str, timeout_s: float = _UP_S, python: str = sys.executable, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run `spotwave <arguments>` as a user would, but in the home's folder and for that home."""
    return subprocess.run(
        [python, "-m", "spotwave.deployments.cli", *arguments],
        cwd=home.path,
        env={**_OWN, "SPOTWAVE_HOME": str(home.path), "PREFECT_HOME": str(home.path / "user"), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def processes_of(home: Home) -> list[str]:
    """Return the processes with the home's mark."""
    found = [*marked(home.path, machines=False), *marked(home.path, machines=True)]
    return [f"{process.pid} {' '.join(words(process))}" for process in found if process.is_running()]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneServerScheduling:
    return OneServerScheduling(config, log)


@pytest.hookimpl(tryfirst=True)  # `-m` reads the marks in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that all processes end at about the same time; a file stays in one process."""

    def minutes(item: pytest.Item) -> float:
        marked = item.get_closest_marker("slow")
        return 0.0 if marked is None else float(marked.kwargs.get("minutes", 1.0))

    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:  # the whole suite
        check_names({item.nodeid for item in items})
    items.sort(key=minutes, reverse=True)
    for item in items:
        if is_thorough(item.nodeid):
            item.add_marker(pytest.mark.thorough)
        check_listed(item)
        if minutes(item) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))  # for hanging tests; Prefect's SQLite may block for minutes


@pytest.fixture(autouse=True)
def umask() -> None:
    """Set the umask of all Spotwave processes.

    A flow sets it in the process that runs it, which is the tests' process here. So a test does not depend on whether a
    flow has run before it.
    """
    os.umask(0o077)


@pytest.fixture(scope="session")
def spotwave_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a home for the session's embedded server, separate from the checkout's."""
    return Home(tmp_path_factory.mktemp("spotwave").resolve())


@contextmanager
def brought_up(
    home: Home, python: str = sys.executable, from_nothing: bool = False, **settings: str
) -> Iterator[Embedded]:
    """Start everything with `spotwave up`; at the end, run `spotwave down` and check that nothing is left.

    from_nothing: the server creates its database, instead of getting a copy.
    """
    home.create()
    if not from_nothing:
        fresh_database(home.prefect / "prefect.db")
    # Not 4200, which a developer's own server may use.
    (home.run / "port").write_text("0")
    (home.run / "port").chmod(0o600)
    done = run_spotwave(home, "up", python=python, **settings)
    try:
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        url = own_url(home)
        assert url is not None
        api = Api(url, embedded=True)
        yield Embedded(home, api, api.environment(home), python, settings)
    finally:
        down = run_spotwave(home, "down", python=python, **settings)
    assert down.returncode == 0, f"{down.stdout}\n{down.stderr}"
    assert processes_of(home) == []


@pytest.fixture(scope="session")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Hooked:
    """Return an environment whose Python processes can be paused by tests (tests.faults)."""
    return Hooked.make(tmp_path_factory.mktemp("hooked") / "environment")


@pytest.fixture(scope="session")
def embedded(spotwave_home: Home, hooked: Hooked) -> Iterator[Embedded]:
    """Yield one installation for all end-to-end tests of this process."""
    with brought_up(spotwave_home, hooked.python) as found:
        with found.api.in_use(found.home):
            LocalCloud(pretend_vcpus=MANY_VCPUS).save("here", overwrite=True)  # jobs of several tests run at once
        yield found


@pytest.fixture(scope="session")
def plain_server() -> Iterator[None]:
    """Run a Prefect server without worker and password, for all tests of this process that need no more."""
    with prefect_server():
        yield


@pytest.fixture
def prefect_api(embedded: Embedded) -> Iterator[Api]:
    """Direct Prefect calls of the test itself to the embedded server."""
    with embedded.api.in_use(embedded.home):
        yield embedded.api
