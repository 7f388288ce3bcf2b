"""The installed wheel, next to a project with packages of the same names: `up`, jobs and `down` from any folder, a home
that is moved, and a home that another installation uses afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spotwave.deployments import server, worker
from spotwave.deployments.home import Home
from tests.conftest import processes_of, run_spotwave
from tests.database import fresh_database
from tests.installed import Installed, build, install
from tests.test_rooms import ROOT

pytestmark = [pytest.mark.thorough, pytest.mark.slow(minutes=3), pytest.mark.timeout(1800)]

TINY = ("-p", "molecule=H 0 0 0; H 0 0 0.74", "-p", "basis=sto-3g")


@dataclass(frozen=True)
class User:
    """A user with an environment and a folder of projects, who has not used Spotwave yet."""

    installed: Installed
    folder: Path

    @property
    def home(self) -> Home:
        return Home(self.folder / "state" / "spotwave")

    def project(self, name: str) -> Path:
        (self.folder / name).mkdir(exist_ok=True)
        return self.folder / name

    def call(self, *command: str, at: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder."""
        return self.installed.call(*command, cwd=self.project(at), user=self.folder, timeout_s=600, **more)

    def done(self, *command: str, at: str, **more: str) -> str:
        """Run a command as with `call`, and return its output. Fails if the command fails."""
        done = self.call(*command, at=at, **more)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def prepare(self, home: Home) -> None:
        """Copy a database to save time, and choose a free port: a developer's own server may use 4200."""
        home.create()
        fresh_database(home.prefect / "prefect.db")
        (home.run / "port").write_text("0")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    wheel = build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))
    return install(wheel, tmp_path_factory.mktemp("installed") / "environment")


@pytest.fixture
def user(installed: Installed, tmp_path: Path) -> Iterator[User]:
    found = User(installed, tmp_path.resolve())
    yield found
    for home in (found.home, Home(found.project("checkout") / ".spotwave")):
        if home.path.exists():
            found.call("spotwave", "down", at="project", SPOTWAVE_HOME=str(home.path))
            assert processes_of(home) == []


def only_result(folder: Path) -> dict[str, object]:
    (found,) = folder.glob("sw-*/result.json")
    result: dict[str, object] = json.loads(found.read_text())
    return result


def test_up_jobs_and_down_from_any_folder(user: User) -> None:
    user.prepare(user.home)
    assert "ready: " in user.done("spotwave", "up", at="project")
    output = user.done("spotwave", "run", "shci/water-dimer", *TINY, at="a folder")
    results = user.project("a folder") / "results"
    assert only_result(results)["attempts"]
    assert f"{results}/sw-" in output
    command = ("python", "-m", "prefect", "deployment", "run", "shci/water-dimer", *TINY, "--watch")
    user.done(*command, at="empty")
    assert list(user.project("empty").iterdir()) == []
    assert only_result(user.home.results)["attempts"]

    # The same home used from a checkout: the wheel's processes are replaced once, and `down` ends the new ones.
    before = (server.running(user.home), worker.running(user.home))
    own = {"HOME": str(user.folder), "PREFECT_HOME": str(user.folder / ".prefect")}
    taken = run_spotwave(user.home, "up", **own)
    assert taken.returncode == 0, f"{taken.stdout}\n{taken.stderr}"
    assert f"{user.installed.packages / 'spotwave'} was running; restarting with Spotwave" in taken.stdout
    after = (server.running(user.home), worker.running(user.home))
    assert None not in (*before, *after)
    assert not set(before) & set(after)
    down = run_spotwave(user.home, "down", **own)
    assert (down.returncode, processes_of(user.home)) == (0, [])

    assert f"state kept in {user.home.path}" in user.done("spotwave", "clean", at="empty")
    assert (user.home.prefect / "prefect.db").exists()
    user.done("spotwave", "clean", "--state", at="empty")
    assert [path.name for path in user.home.path.iterdir()] == ["results"]


def test_state_of_checkout_is_moved_and_jobs_continue(user: User) -> None:
    """Its jobs, ledger, blocks and checkpoints exist afterwards, and an earlier job can be continued."""
    old = Home(user.project("checkout") / ".spotwave")
    user.prepare(old)
    output = user.done("spotwave", "run", "shci/water-dimer", *TINY, at="a folder", SPOTWAVE_HOME=str(old.path))
    (key,) = (path.name for path in (user.project("a folder") / "results").iterdir())
    assert key in output

    refused = user.call("spotwave", "up", at="checkout")
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert f"SPOTWAVE_HOME={old.path} spotwave down" in refused.stderr
    assert not user.home.path.exists()
    user.done("spotwave", "down", at="project", SPOTWAVE_HOME=str(old.path))

    output = user.done("spotwave", "up", at="checkout")
    assert f"state of an earlier version moved from {old.path} to {user.home.path}" in output
    assert f"rclone-remote/here: now {user.home.remote}" in output
    assert f"snapshot-store/here: now {user.home.store}" in output
    assert not old.path.exists()
    assert not user.home.moved_from.exists()

    costs = json.loads(user.done("spotwave", "costs", "--json", at="project"))
    assert costs
    user.done("spotwave", "why", key, at="project")
    output = user.done("spotwave", "run", "shci/water-dimer", *TINY, "-p", f"continue_job={key}", at="checkout")
    assert f"{user.project('checkout')}/results/sw-" in output
    assert (user.home.remote / key / "output/result.json").exists()
    assert "moved" not in user.done("spotwave", "up", at="checkout")
