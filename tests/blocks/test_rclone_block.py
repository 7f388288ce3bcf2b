from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from spotwave.blocks.rclone import RcloneRemote
from spotwave.node.contract import SECRET_RCLONE
from tests.emulators.s3 import S3Emulator

CONF = "[drive]\ntype = webdav\nurl = http://127.0.0.1:9\nvendor = other\nbearer_token = tOpSeCrEtWord\n"


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("drive:", "drive:sw-1"),
        ("drive:spotwave", "drive:spotwave/sw-1"),
        ("drive:spotwave/", "drive:spotwave/sw-1"),
        ("s3 of mine:bucket/a", "s3 of mine:bucket/a/sw-1"),
        ("/data/with:colon", "/data/with:colon/sw-1"),
    ],
)
def test_every_job_has_a_folder(path: str, root: str) -> None:
    remote = RcloneRemote(path=path)
    assert remote.root("sw-1") == root
    assert remote.is_folder == path.startswith("/")


def test_local_folders_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("SPOTWAVE_HOME", "state")
    assert RcloneRemote(path="./out").root("sw-1") == f"{tmp_path}/out/sw-1"
    assert RcloneRemote(path="~/out").root() == "/home/someone/out"
    assert RcloneRemote().root("sw-1") == f"{tmp_path}/state/remote/sw-1"


@pytest.mark.parametrize("path", [":sftp,pass=word:folder", "drive,token=abc:folder", ":memory:", " "])
def test_settings_in_the_path_are_rejected(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        RcloneRemote(path=path)


def test_jobs_folder_is_written_and_read(tmp_path: Path) -> None:
    block = RcloneRemote(path=str(tmp_path / "remote"))
    block.check_writable()
    assert list((tmp_path / "remote").iterdir()) == []
    with block.job("sw-1") as remote:
        remote.write("job.json", b"{}")
    assert (tmp_path / "remote/sw-1/job.json").read_bytes() == b"{}"
    with block.opened() as remote:
        assert [e.path for e in remote.list()] == ["sw-1"]


def test_config_file_exists_only_within_the_context() -> None:
    with RcloneRemote(config=SecretStr(CONF), path="drive:x").job("sw-1") as remote:
        assert remote.config is not None
        assert remote.config.read_text() == CONF
        assert stat.S_IMODE(remote.config.stat().st_mode) == 0o600
        assert stat.S_IMODE(remote.config.parent.stat().st_mode) == 0o700
    assert not remote.config.parent.exists()


def test_machines_get_the_config() -> None:
    assert RcloneRemote(path="/data").secrets() == {}
    secrets = RcloneRemote(config=SecretStr(CONF), path="drive:x").secrets()
    assert secrets[SECRET_RCLONE].get_secret_value() == CONF


def complaint(block: RcloneRemote) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  callers check the message
        block.check_writable()
    message = str(caught.value)
    assert message.startswith("remote: ")
    assert "\n" not in message
    assert "tOpSeCrEtWord" not in f"{message} {caught.value.__cause__!r} {caught.value.__context__!r}"
    return message


def bucket(s3: S3Emulator, *lines: str, more: str = "") -> RcloneRemote:
    settings = [
        "type = s3",
        "provider = Other",
        f"endpoint = {s3.url}",
        "force_path_style = true",
        "region = us-east-1",
    ]
    keys = ["access_key_id = x", "secret_access_key = tOpSeCrEtWord"]
    config = "\n".join(["[mine]", *settings, *keys, *lines, more])
    return RcloneRemote(config=SecretStr(config), path="mine:bucket/spotwave")


def test_keys_that_may_not_create_buckets_get_a_working_remedy() -> None:
    with S3Emulator() as s3:
        message = complaint(bucket(s3, "no_check_bucket = false", more="[drive]\ntype = drive\n"))
        assert "s3:CreateBucket" in message
        assert "add `no_check_bucket = true` to its section [mine], in the rclone.conf" in message
        assert "rclone touch" not in message, "it would fail in the same way"
        bucket(s3, "no_check_bucket = true").check_writable()
        s3.may_write = False
        assert "no_check_bucket" not in complaint(bucket(s3)), "the option would not help"
        assert s3.objects == {}


def test_unwritable_remote_is_reported_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "choose a folder" in complaint(RcloneRemote(path=str(tmp_path / "file/remote")))
    assert "connection refused" in complaint(RcloneRemote(config=SecretStr(CONF), path="drive:x"))
    assert "rclone config show other" in complaint(RcloneRemote(config=SecretStr(CONF), path="other:x"))
    assert "is not in the rclone.conf" in complaint(RcloneRemote(path="drive:x"))
    assert "cannot be read" in complaint(
        RcloneRemote(config=SecretStr("pass = tOpSeCrEtWord\n" + CONF), path="drive:x")
    )
