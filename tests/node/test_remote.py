from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spotwave.node.storage.redact import last_line, redactor
from spotwave.node.storage.remote import Entry, Remote, RemoteAbsent, RemoteDiffers, RemoteError
from tests.node.conftest import RCLONE, Servers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "sub").mkdir(parents=True)
    (made / "a").write_text("aa")
    (made / "sub/b c").write_text("bb")
    (made / "empty").write_text("")
    return made


def test_a_folder_is_uploaded_and_downloaded(remote: Remote, folder: Path, tmp_path: Path) -> None:
    remote.upload(folder, "x/made")
    remote.verify(folder, "x/made")
    remote.download("x/made", tmp_path / "back")
    assert (tmp_path / "back/sub/b c").read_text() == "bb"
    assert {e.path for e in remote.list("x", recursive=True) if not e.is_dir} == {
        "made/a",
        "made/empty",
        "made/sub/b c",
    }
    assert Entry("a", 2, False) in remote.list("x/made")


def test_a_changed_file_of_the_same_size_is_uploaded(remote: Remote, folder: Path) -> None:
    remote.upload(folder, "made")
    (folder / "a").write_text("ZZ")
    with pytest.raises(RemoteDiffers, match="a"):
        remote.verify(folder, "made")
    remote.upload(folder, "made")
    remote.verify(folder, "made")
    assert remote.read("made/a") == b"ZZ"


def test_upload_removes_nothing(remote: Remote, folder: Path, tmp_path: Path) -> None:
    remote.write("made/older", b"work of an older machine")
    remote.upload(folder, "made")
    assert remote.read("made/older") == b"work of an older machine"
    remote.verify(folder, "made")


def test_nothing_to_send_is_an_error(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "none/of/it").mkdir(parents=True)
    for local in (tmp_path / "none", tmp_path / "missing"):
        with pytest.raises(FileNotFoundError):
            remote.upload(local, "x")
        with pytest.raises(FileNotFoundError):
            remote.verify(local, "x")
    assert remote.list() == []


def test_a_single_file_is_uploaded_and_verified(remote: Remote, folder: Path, tmp_path: Path) -> None:
    remote.upload(folder / "a", "logs/renamed")
    assert remote.read("logs/renamed") == b"aa"
    remote.upload(folder / "a", "logs/a")
    remote.verify(folder / "a", "logs/a")
    (folder / "a").write_text("XX")
    with pytest.raises(RemoteDiffers):
        remote.verify(folder / "a", "logs/a")
    remote.download("logs/a", tmp_path / "deep/back")
    assert (tmp_path / "deep/back").read_text() == "aa"


def test_missing_files_are_reported_as_absent(remote: Remote, folder: Path, tmp_path: Path) -> None:
    for _ in range(2):  # a remote that was never written to, then one that was
        assert remote.read("none/of/it") is None
        assert remote.list("none/of/it") == []
        remote.delete("none/of/it")
        remote.purge("none/of/it")
        with pytest.raises(RemoteDiffers):
            remote.verify(folder, "none/of/it")
        remote.write("something", b"x")
    with pytest.raises(RemoteAbsent):
        remote.download("none/of/it", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_small_files_are_replaced(remote: Remote) -> None:
    for content in (b"one", b"two", b""):
        remote.write("LATEST", content)
        assert remote.read("LATEST") == content
    remote.delete("LATEST")
    assert remote.read("LATEST") is None


def test_purge_removes_one_folder(remote: Remote) -> None:
    remote.write("a/x", b"x")
    remote.write("ab/x", b"x")
    remote.purge("a")
    assert remote.list("a") == []
    assert remote.read("ab/x") == b"x"
    with pytest.raises(ValueError, match="root"):
        remote.purge("")


def test_hashes_are_those_that_the_backend_supports(remote: Remote, folder: Path) -> None:
    remote.upload(folder, "made")
    hashes = remote.hashes("made")
    assert set(hashes) == {"a", "empty", "sub/b c"}
    assert hashes["a"].get("md5", "0b4e7a0e5fe84ad35fb5f95b9ceeac79")
    assert remote.hashes("nowhere") == {}


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x"])
def test_paths_stay_below_the_root(local_remote: Remote, path: str) -> None:
    with pytest.raises(ValueError, match="below"):
        local_remote.read(path)


@pytest.mark.parametrize("name", ["away", "wrong", "nowhere"])
def test_an_unreachable_remote_is_not_reported_as_absent(
    servers: Servers, folder: Path, tmp_path: Path, name: str
) -> None:
    """No server; a wrong password; no such remote in the configuration."""
    remote = Remote(RCLONE, servers.config, f"{name}:jobs/x")
    for call in (
        lambda: remote.read("x"),
        lambda: remote.list("x"),
        lambda: remote.delete("x"),
        lambda: remote.purge("x"),
        lambda: remote.upload(folder, "x"),
        lambda: remote.verify(folder, "x"),
        lambda: remote.download("x", tmp_path / "back"),
    ):
        with pytest.raises(RemoteError) as caught:
            call()
        assert not isinstance(caught.value, RemoteAbsent | RemoteDiffers)
        message = f"{caught.value!r} {caught.value.__cause__!r}"
        assert not any(secret in message for secret in servers.secrets), message


def test_a_missing_rclone_is_a_remote_error(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="cannot be started"):
        Remote(tmp_path / "no-rclone", None, str(tmp_path)).read("x")


def test_secrets_stay_out_of_arguments_and_environment(servers: Servers, folder: Path, tmp_path: Path) -> None:
    spy = tmp_path / "rclone"
    spy.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/seen"\nenv >>"{tmp_path}/seen"\nexec "{RCLONE}" "$@"\n')
    spy.chmod(0o755)
    remote = Remote(spy, servers.config, f"dav:jobs/{tmp_path.name}")
    remote.upload(folder, "made")
    remote.verify(folder, "made")
    remote.write("x", b"x")
    seen = (tmp_path / "seen").read_text()
    assert "copyto" in seen
    assert not any(secret in seen for secret in servers.secrets)


def test_the_users_own_configuration_is_not_used(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine would not have it, so what works here by chance must fail here too."""
    monkeypatch.setenv("RCLONE_CONFIG", str(servers.config))
    with pytest.raises(RemoteError, match="dav"):
        Remote(RCLONE, None, "dav:jobs").list()


def stuck_rclone(tmp_path: Path) -> Path:
    """Create a program that never ends and ignores SIGTERM, with a child process."""
    stuck = tmp_path / "stuck"
    stuck.write_text(
        f'#!/bin/bash\ntrap "" TERM\nsleep 600 &\necho "$$ $!" >"{tmp_path}/pids.part"\n'
        f'mv "{tmp_path}/pids.part" "{tmp_path}/pids"\nwait\n'
    )
    stuck.chmod(0o755)
    return stuck


def left(tmp_path: Path) -> list[int]:
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    alive = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.append(pid)
        except psutil.NoSuchProcess:
            continue
    return alive


def none_left(tmp_path: Path) -> None:
    deadline = time.monotonic() + 10
    while left(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_call_that_hangs_ends_with_all_its_processes(tmp_path: Path) -> None:
    remote = Remote(stuck_rclone(tmp_path), None, str(tmp_path), call_s=3)
    with pytest.raises(RemoteError, match="timed out after 3 s"):
        remote.read("x")
    none_left(tmp_path)


def test_an_exception_during_a_call_ends_rclone(tmp_path: Path) -> None:
    """E.g. Prefect's TerminationSignal, raised by a signal handler in the middle of a copy."""
    code = (
        "import signal; from pathlib import Path; from spotwave.node.storage.remote import Remote\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore it\n"
        f"Remote({str(stuck_rclone(tmp_path))!r}, None, {str(tmp_path)!r}).read('x')"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pids").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        caller.send_signal(signal.SIGINT)
        assert caller.wait(30) != 0
        none_left(tmp_path)
    finally:
        caller.kill()
        caller.wait()


def test_a_log_that_grows_can_be_sent(local_remote: Remote, tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_text("0\n")
    writer = subprocess.Popen(
        ["bash", "-c", f'for i in $(seq 400000); do echo "$i"; done >>"{log}"'], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(5):
            local_remote.upload(log, "agent.log")
    finally:
        writer.kill()
        writer.wait()
    assert (local_remote.read("agent.log") or b"").startswith(b"0\n")


def test_the_last_meaningful_line() -> None:
    messages = (
        "2026/11/20 16:46:47 ERROR : x: Failed to copy: permission denied\n"
        "2026/11/20 16:46:47 NOTICE: Failed to copyto: permission denied\n\n"
    )
    assert last_line(messages) == "Failed to copyto: permission denied"
    assert last_line("") == ""


def test_secrets_inside_tokens_are_redacted(tmp_path: Path) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(
        '[drive]\ntype = drive\nscope = drive\ntoken = {"access_token":"ya29.abcdef","expiry":"2026-01-01"}\n'
    )
    scrub = redactor(config)
    assert scrub("drive says ya29.abcdef is stale") == "drive says *** is stale"
    assert scrub("Get http://user:word@host/x?sig=abc&y=1") == "Get http://***@host/x?sig=***&y=1"
