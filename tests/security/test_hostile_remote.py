"""A remote's path reaches rclone and a machine's shell unchanged, or is rejected in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from spotwave.blocks.rclone import RcloneRemote, rclone_binary
from spotwave.blocks.user_data import render
from spotwave.node.contract import Brief
from spotwave.node.storage.remote import Remote
from tests.blocks.machine_kit import brief
from tests.security.hostile import LINES, LONG, SHELL

KEY = "sw-0123456789ab"
# Replaces both markers as `node/boot/bootstrap.sh` does, and prints the received values.
TEMPLATE = "set -eu\n@SETTINGS@\ncat >brief.json <<'BRIEF'\n@BRIEF@\nBRIEF\nenv -0 >environment\n"


@pytest.mark.parametrize("path", [*LINES, LONG])
def test_path_with_line_ends_or_control_characters_is_rejected(path: str) -> None:
    for whole in (path, f"drive:{path}"):
        with pytest.raises(ValidationError, match="path: give at most") as caught:
            RcloneRemote(path=whole)
        assert len(caught.value.errors()[0]["msg"]) < 200


@pytest.mark.parametrize(
    "path",
    [
        "--config=x:y",
        "-P:y",
        ":local:/etc",
        ":sftp,ssh='touch pwned':x",
        "drive,token=secret:x",
        "drive:../other",
        "drive:a/../../b",
    ],
)
def test_path_that_is_an_option_or_leads_elsewhere_is_rejected(path: str) -> None:
    with pytest.raises(ValidationError, match="path:"):
        RcloneRemote(path=path)


def test_rclone_receives_unchanged_path(tmp_path: Path) -> None:
    """With the real rclone: nested folders with each of these names, on this computer and on a named remote."""
    path = "/".join(word.strip() for word in SHELL)
    config = SecretStr(f"[drive]\ntype = alias\nremote = {tmp_path}/far\n")
    for block, folder in (
        (RcloneRemote(path=f"{tmp_path}/near/{path}"), tmp_path / "near"),
        (RcloneRemote(path=f"drive:{path}", config=config), tmp_path / "far"),
    ):
        with block.job(KEY) as remote:
            remote.write(f"-{path}", b"kept")
            assert remote.read(f"-{path}") == b"kept"
        (found,) = [path for path in folder.rglob("*") if path.is_file()]
        assert str(found.relative_to(folder)) == f"{path}/{KEY}/-{path}"
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("pwned").exists()


def test_root_is_never_an_option_and_paths_stay_below_it(tmp_path: Path) -> None:
    for root in ("-v", "--config=/etc/passwd", "a\x00b"):
        with pytest.raises(ValueError, match="is not a valid remote folder"):
            Remote(rclone_binary(), None, root)
    (tmp_path / "beside").write_text("not yours")
    remote = Remote(rclone_binary(), None, str(tmp_path / "job"))
    for rel in ("../beside", "a/../../beside", "/etc/passwd", "a\x00b"):
        with pytest.raises(ValueError, match="not a path below"):
            remote.read(rel)
        with pytest.raises(ValueError, match="not a path below"):
            remote.write(rel, b"mine")
    assert (tmp_path / "beside").read_text() == "not yours"


@pytest.mark.parametrize("word", [*SHELL, *(line for line in LINES if "\x00" not in line)])
def test_shell_passes_unchanged_values_to_machine(word: str, tmp_path: Path) -> None:
    """The block rejects some of these values, but the script must be safe without that."""
    told = brief().brief
    asked = Brief(**{**vars(told), "remote": f"drive:{word}/{KEY}", "lease_id": word})
    settings = {"SPOTWAVE_SECRET": word, "SPOTWAVE_SECRET_AT": f"https://vault{word}"}
    (tmp_path / "script").write_text(render(asked, settings=settings, template=TEMPLATE))
    subprocess.run(["bash", "script"], cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin"}, timeout=60)
    lines = (tmp_path / "environment").read_bytes().decode().split("\0")
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: found[name] for name in settings} == settings
    assert found["SPOTWAVE_REMOTE"] == asked.remote
    assert Brief.from_json((tmp_path / "brief.json").read_text()) == asked
    assert {path.name for path in tmp_path.iterdir()} == {"script", "environment", "brief.json"}


def test_invalid_setting_name_is_rejected() -> None:
    for name in ("A B", "A;touch pwned", "A=1\nexport B", "1A", ""):
        with pytest.raises(ValueError, match="cannot be an environment variable"):
            render(brief().brief, settings={name: "x"}, template=TEMPLATE)
