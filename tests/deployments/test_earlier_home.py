"""State of an earlier version, `.spotwave` in a checkout: found, moved completely, or left unchanged."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from spotwave.deployments.documents import new_path
from spotwave.deployments.down import down
from spotwave.deployments.earlier_home import earlier_homes, move_by_copy, move_earlier
from spotwave.deployments.home import Home, home_of
from spotwave.deployments.processes import ENV_MARK
from spotwave.deployments.unavailable import Unavailable
from tests.database import fresh_database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the user's home, which does not exist yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.resolve() / "state"))
    monkeypatch.delenv("SPOTWAVE_HOME", raising=False)
    return home_of()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path.resolve() / "checkout"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


@pytest.fixture
def old(checkout: Path) -> Home:
    made = Home(checkout / ".spotwave")
    made.create()
    (made.secrets / "encryption.key").write_text("a key")
    (made.run / "port").write_text("4321")
    (made.store / "spending").mkdir()
    (made.store / "spending" / "one.json").write_text("{}")
    return made


@pytest.fixture
def worker(old: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process of the earlier version."""
    code = "import signal; print(flush=True); signal.pause()"
    environment = {**os.environ, ENV_MARK: str(old.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_home_is_found_in_working_directory_and_checkout(
    home: Home, checkout: Path, old: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert earlier_homes(checkout) == [old.path]
    assert earlier_homes(tmp_path) == []
    monkeypatch.chdir(checkout)
    assert earlier_homes(checkout) == earlier_homes(tmp_path) == [old.path]


def test_folder_with_that_name_but_not_a_home_is_ignored(home: Home, checkout: Path) -> None:
    (checkout / ".spotwave").mkdir()
    (checkout / ".spotwave" / "notes").write_text("a user's own")
    assert earlier_homes(checkout) == []


def test_home_is_moved_completely_and_reported_in_one_line(home: Home, checkout: Path, old: Home) -> None:
    messages: list[str] = []
    move_earlier(home, messages.append, checkout)
    assert messages == [f"state of an earlier version moved from {old.path} to {home.path}"]
    assert (home.secrets / "encryption.key").read_text() == "a key"
    assert (home.store / "spending/one.json").exists()
    assert home.moved_from.read_text() == str(old.path)
    assert not old.path.exists()
    move_earlier(home, messages.append, checkout)
    assert len(messages) == 1


def test_only_one_of_two_concurrent_calls_moves_home(home: Home, checkout: Path, old: Home) -> None:
    messages: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: move_earlier(home, messages.append, checkout), range(2)))
    assert len(messages) == 1
    assert (home.secrets / "encryption.key").exists()


def test_home_is_not_moved_into_chosen_home(
    home: Home, checkout: Path, old: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPOTWAVE_HOME", str(tmp_path / "chosen"))
    move_earlier(home_of(), pytest.fail, checkout)
    assert old.path.exists()


def test_home_is_never_merged_into_home_in_use(home: Home, checkout: Path, old: Home) -> None:
    home.create()
    (home.secrets / "encryption.key").write_text("another key")
    messages: list[str] = []
    move_earlier(home, messages.append, checkout)
    assert len(messages) == 1
    assert "was not moved" in messages[0]
    assert f"SPOTWAVE_HOME={old.path}" in messages[0]
    assert (old.secrets / "encryption.key").read_text() == "a key"
    assert (home.secrets / "encryption.key").read_text() == "another key"


def test_home_without_files_is_not_in_use(home: Home, checkout: Path, old: Home) -> None:
    with home.locked():
        pass
    move_earlier(home, lambda _: None, checkout)
    assert (home.secrets / "encryption.key").read_text() == "a key"


def test_home_is_not_moved_while_its_process_runs(
    home: Home, checkout: Path, old: Home, worker: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(Unavailable, match=f"SPOTWAVE_HOME={old.path} spotwave down") as refused:
        move_earlier(home, pytest.fail, checkout)
    assert "\n" not in str(refused.value)
    assert not home.path.exists()
    assert not down(old, lambda _: None).processes  # the remedy in the message
    worker.wait(30)
    move_earlier(home, lambda _: None, checkout)
    assert (home.secrets / "encryption.key").exists()


def test_down_reports_earlier_homes_with_running_processes(
    home: Home, checkout: Path, old: Home, worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    messages: list[str] = []
    down(home, messages.append)
    assert len([line for line in messages if str(old.path) in line]) == 1
    assert worker.poll() is None
    assert not home.path.exists()


def test_copy_to_another_file_system_is_complete(tmp_path: Path, old: Home) -> None:
    """As with `rename` within one file system, links and modes are kept; a pipe has no content to copy."""
    (old.store / "link").symlink_to("spending/one.json")
    (old.store / "dangling").symlink_to("nowhere")
    os.mkfifo(old.machines / "pipe")
    (old.secrets / "encryption.key").chmod(0o600)
    new = tmp_path / "new"
    move_by_copy(old.path, new)
    assert not old.path.exists()
    assert os.readlink(new / "store/link") == "spending/one.json"
    assert os.readlink(new / "store/dangling") == "nowhere"
    assert stat.S_IMODE((new / "secrets/encryption.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(new.stat().st_mode) == 0o700
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".new")] == []


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no second file system")
def test_home_is_moved_to_another_file_system(checkout: Path, old: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as state:
        assert os.stat(state).st_dev != old.path.stat().st_dev
        monkeypatch.setenv("XDG_STATE_HOME", state)
        monkeypatch.delenv("SPOTWAVE_HOME", raising=False)
        move_earlier(home_of(), lambda _: None, checkout)
        assert (home_of().secrets / "encryption.key").read_text() == "a key"
        assert not old.path.exists()


def test_failed_copy_changes_nothing(home: Home, checkout: Path, old: Home) -> None:
    home.path.parent.mkdir()
    home.path.parent.chmod(0o500)
    before = sorted(old.path.rglob("*"))
    if os.geteuid() == 0:
        home.path.parent.rmdir()
        home.path.parent.write_text("a file where the folder would be")
    messages: list[str] = []
    with pytest.raises(Unavailable, match="cannot be moved") as refused:
        move_earlier(home, messages.append, checkout)
    assert "\n" not in str(refused.value)
    assert [path for path in sorted(old.path.rglob("*")) if path.name != "lock"] == before


def add(database: Path, table: str, **given: str) -> None:
    """Insert a row into a table of Prefect's; other columns that must not be null are empty."""
    with closing(sqlite3.connect(database)) as connection:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        needed = {name: "" for _, name, _, not_null, default, _ in columns if not_null and default is None}
        row = needed | given
        names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
        connection.commit()


def job_in(database: Path, entrypoint: str, tag: str, state: str) -> None:
    add(database, "deployment", id="d", name="water", entrypoint=entrypoint, tags=json.dumps(["spotwave", tag]))
    add(database, "flow_run", id="r", name="lucky-otter", deployment_id="d", state_type=state)


@pytest.mark.parametrize(
    ("entrypoint", "tag", "state", "refused"),
    [
        ("flows.shci.shci", "chemistry", "RUNNING", True),
        ("flows.shci.shci", "chemistry", "PAUSED", True),
        ("flows.shci.shci", "chemistry", "COMPLETED", False),
        ("flows.reconcile.reconcile", "housekeeping", "SCHEDULED", False),
        ("spotwave.flows.shci.shci", "chemistry", "RUNNING", False),
    ],
)
def test_home_is_not_moved_while_earlier_version_has_unfinished_job(
    home: Home, checkout: Path, old: Home, entrypoint: str, tag: str, state: str, refused: bool
) -> None:
    fresh_database(old.prefect / "prefect.db")
    job_in(old.prefect / "prefect.db", entrypoint, tag, state)
    if refused:
        with pytest.raises(Unavailable, match="lucky-otter"):
            move_earlier(home, pytest.fail, checkout)
    else:
        move_earlier(home, lambda _: None, checkout)
    assert old.path.exists() == refused


@pytest.mark.parametrize(
    ("named", "now"),
    [
        ("/old/remote", "/new/remote"),
        ("/old", "/new"),
        ("/older/remote", None),
        ("/somewhere/old/remote", None),
        ("s3://bucket/old", None),
        ("drive:/old/remote", None),
        ("remote", None),
        (None, None),
    ],
)
def test_only_folders_in_home_are_updated(named: str | None, now: str | None) -> None:
    assert new_path(named, Path("/old"), Path("/new")) == now
