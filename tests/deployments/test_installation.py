"""`up` from another installation restarts the running processes, unless a job runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from spotwave.deployments import installation
from spotwave.deployments.home import Home
from spotwave.deployments.installation import Installation, Installations
from spotwave.deployments.processes import ENV_MARK, Note, end, start
from spotwave.deployments.restart import restart_other, running_jobs
from spotwave.deployments.unavailable import Unavailable
from spotwave.flows.loop.run_lock import run_lock
from spotwave.node.contract import write_text

KEY = "sw-0123456789ab"
OTHER = Installation(package="/opt/other/spotwave", version="0.1.0")
_SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path.resolve())
    made.create()
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: made.storage}):
        yield made


@pytest.fixture
def worker(home: Home) -> Iterator[Note]:
    """Yield a process that the home's note names as its worker."""
    environment = {**os.environ, ENV_MARK: str(home.path)}
    note = start(_SLEEP, environment, cwd=home.path, log=home.logs / "worker.log", url="http://127.0.0.1:1/api")
    note.write(home.run / "controller-worker.json")
    yield note
    process = note.process()
    end([process] if process else [], grace_s=0)


def noted(home: Home, worker: Installation | None) -> None:
    write_text(home.run / "installations.json", Installations(worker=worker).model_dump_json())


@pytest.mark.parametrize("other", [OTHER, installation.current().model_copy(update={"version": "0.0.1"}), None])
def test_processes_of_another_installation_are_ended_if_no_job_runs(
    home: Home, worker: Note, other: Installation | None
) -> None:
    noted(home, other)
    messages: list[str] = []
    restart_other(home, messages.append)
    assert worker.process() is None
    assert len(messages) == 1
    assert f"restarting with {installation.current()}" in messages[0]
    assert (str(other) if other else "an earlier version of Spotwave") in messages[0]


def test_nothing_is_changed_while_a_job_runs(home: Home, worker: Note) -> None:
    noted(home, OTHER)
    with run_lock(KEY):
        with pytest.raises(Unavailable, match=KEY) as refused:
            restart_other(home, pytest.fail)
        assert worker.process() is not None
    assert str(OTHER) in str(refused.value)
    assert str(installation.current()) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert running_jobs(home) == []
    restart_other(home, lambda _: None)
    assert worker.process() is None


def test_processes_of_this_installation_keep_running(home: Home, worker: Note) -> None:
    installation.note(home, "worker")
    restart_other(home, pytest.fail)
    assert worker.process() is not None


def test_note_of_ended_process_is_ignored(home: Home) -> None:
    noted(home, OTHER)
    restart_other(home, pytest.fail)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"worker": 1}', '{"worker": {"package": "/a", "version": 2}}', '{"agent": null}']
)
def test_unreadable_note_counts_as_empty(home: Home, text: str) -> None:
    (home.run / "installations.json").write_text(text)
    assert installation.noted(home) == Installations()
    installation.note(home, "server")
    assert installation.noted(home) == Installations(server=installation.current())
