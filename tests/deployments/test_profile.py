"""The Prefect profile `spotwave`: what is written into the user's profiles file, and what is left unchanged."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_PROFILES_PATH, temporary_settings

from spotwave.deployments.profile import remove_profile, write_profile

URL, AUTH = "http://127.0.0.1:4200/api", "spotwave:secret"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("PREFECT_API_URL")
    found = tmp_path / "prefect" / "profiles.toml"
    with temporary_settings({PREFECT_PROFILES_PATH: found}):
        yield found


def written(url: str = URL, auth: str = AUTH) -> list[str]:
    messages: list[str] = []
    write_profile(url, auth, messages.append)
    return messages


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def mine(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)


def test_profile_becomes_active_if_user_has_none(path: Path) -> None:
    assert written() == [f"Prefect profile 'spotwave' written to {path}"]
    ours = {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": AUTH}
    assert read(path) == {"active": "spotwave", "profiles": {"spotwave": ours}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert written() == []
    assert written(auth="spotwave:other") == [f"Prefect profile 'spotwave' written to {path}"]
    assert remove_profile()
    assert not path.exists()
    assert not remove_profile()


def test_active_profile_of_user_is_unchanged(path: Path) -> None:
    mine(path, 'active = "work"\n[profiles.work]\nPREFECT_API_URL = "https://prefect.example.org/api"\n')
    before = read(path)
    messages = written()
    assert any("your Prefect profile 'work' stays active" in line and "--profile spotwave" in line for line in messages)
    assert read(path)["active"] == "work"
    assert read(path)["profiles"]["work"] == before["profiles"]["work"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert remove_profile()
    assert read(path) == before


def test_profile_becomes_active_if_file_names_none(path: Path) -> None:
    mine(path, '[profiles.work]\nPREFECT_LOGGING_LEVEL = "DEBUG"\n')
    written()
    assert read(path)["active"] == "spotwave"
    remove_profile()
    assert "active" not in read(path)


@pytest.mark.parametrize(
    "settings",
    ['PREFECT_API_URL = "https://team.example.org/api"', 'PREFECT_API_URL = "http://127.0.0.1:4200/api"', ""],
)
def test_users_own_profile_of_that_name_is_unchanged(path: Path, settings: str) -> None:
    mine(path, f'active = "spotwave"\n[profiles.spotwave]\n{settings}\n')
    before = path.read_text()
    messages = written()
    assert len(messages) == 1
    assert "was not created by Spotwave" in messages[0]
    assert not remove_profile()
    assert path.read_text() == before


def test_symbolic_link_to_file_is_kept(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("")
    path.parent.mkdir()
    path.symlink_to(kept)
    written()
    assert path.is_symlink()
    assert "spotwave" in read(kept)["profiles"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_permissions_of_unchanged_file_are_corrected(path: Path) -> None:
    written()
    path.chmod(0o644)
    written()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_API_URL"])
def test_settings_that_override_profile_are_reported(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "something")
    messages = [line for line in written() if name in line]
    assert len(messages) == 1
    assert "\n" not in messages[0]
    assert "something" not in messages[0]


def test_profile_chosen_by_environment_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_PROFILE", "cloud")
    assert any("your Prefect profile 'cloud' stays active" in line for line in written())


@pytest.mark.parametrize("text", ["active = ", "not toml at all [", '[profiles.x]\nPREFECT_NO_SUCH = "1"\n'])
def test_invalid_file_is_kept_and_reported_in_one_line(path: Path, text: str) -> None:
    mine(path, text)
    messages = written()
    assert len(messages) == 1
    assert "\n" not in messages[0]
    if "could not be written" in messages[0]:
        assert path.read_text() == text
    assert remove_profile() == ("could not be written" not in messages[0])


def test_folder_that_cannot_be_created_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with temporary_settings({PREFECT_PROFILES_PATH: tmp_path / "file" / "profiles.toml"}):
        messages = written()
    assert len(messages) == 1 or "could not be written" in messages[0]
