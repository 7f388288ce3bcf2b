"""Homes, their lock, and processes that outlive the command that started them."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_PROFILES_PATH, temporary_settings

from spotwave.blocks.home import home as blocks_home
from spotwave.deployments import api
from spotwave.deployments.clean import clean
from spotwave.deployments.home import ROOT, Home, HomeUnusable, home_of
from spotwave.deployments.keys import auth_string, encryption_key, forget_auth_string
from spotwave.deployments.processes import ENV_MARK, Note, end, has_ended, last_lines, marked, start
from spotwave.node.contract import ENV_MACHINE, ENV_WORK

_SLEEP = [sys.executable, "-c", "import signal; print('started', flush=True); signal.pause()"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path.resolve())
    home.create()
    return home


@pytest.fixture
def sleeper(home: Home) -> Iterator[Note]:
    environment = {**os.environ, ENV_MARK: str(home.path)}
    note = start(_SLEEP, environment, cwd=home.path, log=home.logs / "sleeper.log", url="http://127.0.0.1:1/api")
    yield note
    process = note.process()
    end([process] if process else [], grace_s=0)


def test_default_home_is_in_user_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It does not depend on the working directory, and is the same for blocks and deployments."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SPOTWAVE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    first = home_of()
    monkeypatch.chdir("/")
    assert home_of() == first == Home(blocks_home())
    assert first.path.name == "spotwave"
    assert not first.path.exists()
    if sys.platform == "linux":
        assert first.path == (tmp_path / "state/spotwave").resolve()


def test_configured_home_is_used_and_has_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPOTWAVE_HOME", "other")
    assert home_of().path == blocks_home() == tmp_path.resolve() / "other"
    assert home_of().results == tmp_path.resolve() / "other/results"


def test_folders_are_private(home: Home) -> None:
    for folder in (home.secrets, home.prefect, home.machines, home.remote, home.logs, home.run):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_lock_excludes_others_and_is_released(home: Home) -> None:
    with home.locked(), (home.run / "lock").open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (home.run / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(("secret", "name"), [(encryption_key, "encryption.key"), (auth_string, "auth.string")])
def test_secret_is_created_once_and_private(home: Home, secret: Callable[[Home], str], name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(secret, [home] * 8))) == 1  # concurrent calls return the same secret
    assert stat.S_IMODE((home.secrets / name).stat().st_mode) == 0o600
    assert [path.name for path in home.secrets.iterdir()] == [name]


def test_deleted_auth_string_is_replaced(home: Home) -> None:
    first = auth_string(home)
    forget_auth_string(home)
    assert auth_string(home) != first
    assert first.startswith("spotwave:")
    assert first.isascii()


def test_open_permissions_of_earlier_version_are_corrected(tmp_path: Path) -> None:
    """The home and the results have the permissions of earlier versions: 0755, files 0644."""
    home = Home(tmp_path.resolve() / "home")
    outside = tmp_path / "outside"
    outside.write_text("a user's own")
    outside.chmod(0o644)
    before = os.umask(0o022)
    try:
        for folder in (home.prefect, home.store / "spending", home.results / "sw-1"):
            folder.mkdir(parents=True)
            (folder / "file").write_text("secret")
        (home.store / "link").symlink_to(outside)
    finally:
        os.umask(before)
    home.create()
    for path in (home.path, *home.path.rglob("*")):
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o077, path
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a folder")
def test_home_of_another_user_is_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(HomeUnusable, match=f"SPOTWAVE_HOME: {folder} belongs to another user"):
        Home(folder).create()


def test_started_process_has_own_session(home: Home, sleeper: Note) -> None:
    process = sleeper.process()
    assert process is not None
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert not has_ended(sleeper)
    end([process], grace_s=5)
    assert has_ended(sleeper)
    assert stat.S_IMODE((home.logs / "sleeper.log").stat().st_mode) == 0o600


def test_child_has_default_sigint_even_if_ignored_here(home: Home) -> None:
    script = (
        "import signal, sys; from pathlib import Path; from spotwave.deployments.processes import start, has_ended\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "code = 'import signal; print(signal.getsignal(signal.SIGINT), flush=True)'\n"
        "note = start([sys.executable, '-c', code], {}, Path('.'), Path(sys.argv[1]), '')\n"
        "while not has_ended(note): pass\n"
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as after a shell's `&`
    try:
        subprocess.run([sys.executable, "-c", script, str(home.logs / "child.log")], cwd=ROOT, check=True, timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "default_int_handler" in (home.logs / "child.log").read_text()


def test_reused_pid_is_not_matched(sleeper: Note) -> None:
    assert Note(sleeper.pid, sleeper.started - 60, sleeper.url).process() is None  # as an earlier version wrote it
    assert sleeper.since_boot is not None
    assert replace(sleeper, since_boot=sleeper.since_boot - 60).process() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts a process's start from the boot")
def test_process_is_found_after_the_clock_was_set(
    sleeper: Note, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's boot time (btime in /proc/stat) follows the clock, and so does every start time made from it."""
    before = psutil.Process(sleeper.pid).create_time()
    lines = Path("/proc/stat").read_text().splitlines()
    changed = [f"btime {int(line.split()[1]) + 3600}" if line.startswith("btime") else line for line in lines]
    (tmp_path / "stat").write_text("\n".join([*changed, ""]))
    (tmp_path / str(sleeper.pid)).symlink_to(f"/proc/{sleeper.pid}")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert psutil.Process(sleeper.pid).create_time() == pytest.approx(before + 3600, abs=2)
    assert sleeper.process() is not None


def test_incomplete_note_counts_as_missing(home: Home) -> None:
    path = home.run / "note.json"
    assert Note.read(path) is None
    path.write_text('{"pid": 1')
    assert Note.read(path) is None
    path.write_text('{"pid": 1}')
    assert Note.read(path) is None


def test_marked_distinguishes_machines_from_other_processes(home: Home, sleeper: Note) -> None:
    work = home.machines / "sw-1" / "work"
    machine = subprocess.Popen(_SLEEP, env={ENV_MACHINE: "sw-1", ENV_WORK: str(work)}, stdout=subprocess.PIPE)
    assert machine.stdout is not None
    try:
        assert machine.stdout.readline() == b"started\n"  # before its exec, it still has this process's environment
        assert [p.pid for p in marked(home.path, machines=False)] == [sleeper.pid]
        assert [p.pid for p in marked(home.path, machines=True)] == [machine.pid]
        assert marked(home.path / "elsewhere", machines=True) == []
    finally:
        end([psutil.Process(machine.pid)], grace_s=0)
        machine.stdout.close()
        machine.wait()


def test_last_lines_omits_empty_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == "(no log)"
    log.write_text("one\n\ntwo\n   \nthree\n")
    assert last_lines(log, 2) == "two\nthree"


def test_users_own_prefect_toml_is_not_touched(home: Home) -> None:
    mine = home.path / "prefect.toml"
    mine.write_text('[api]\nurl = "https://prefect.example.org/api"\n')
    api.remove_prefect_toml(home.path)
    assert "prefect.example.org" in mine.read_text()


def test_prefect_toml_of_earlier_version_is_removed(home: Home) -> None:
    left = home.path / "prefect.toml"
    left.write_text(
        '# Written by `spotwave up`, removed by `spotwave down`.\n[api]\nurl = "http://127.0.0.1:4200/api"\n'
    )
    api.remove_prefect_toml(home.path)
    assert not left.exists()
    api.remove_prefect_toml(home.path)


@pytest.mark.parametrize("state", [False, True])
def test_clean_removes_state_only_on_request(home: Home, tmp_path: Path, state: bool) -> None:
    (home.path / "thesis.tex").write_text("years of work")
    (home.results / "sw-1").mkdir()
    ledger = home.store / "spending.json"
    ledger.write_text("{}")
    messages: list[str] = []
    with temporary_settings({PREFECT_PROFILES_PATH: tmp_path / "profiles.toml"}):
        clean(home, messages.append, state)
        clean(home, messages.append, state)
    assert ledger.exists() is not state
    assert not home.temporary.exists()
    assert (home.path / "thesis.tex").exists()
    assert (home.results / "sw-1").exists()
    if state:
        assert sorted(path.name for path in home.path.iterdir()) == ["results", "thesis.tex"]
    assert all(str(home.path) in line and "\n" not in line for line in messages)


def test_clean_removes_empty_home_folder(tmp_path: Path) -> None:
    home = Home(tmp_path.resolve() / "home")
    home.create()
    with temporary_settings({PREFECT_PROFILES_PATH: tmp_path / "profiles.toml"}):
        clean(home, lambda _: None, state=True)
    assert not home.path.exists()
