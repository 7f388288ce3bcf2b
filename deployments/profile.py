"""The Prefect profile `spotwave`, with which plain `prefect` commands reach the embedded server.

It has the server's address and password. It is written to the user's profiles file (PREFECT_PROFILES_PATH, usually
~/.prefect/profiles.toml), which is made readable only by the user. It becomes active unless another profile is.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from prefect.context import get_settings_context
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_PROFILES_PATH,
    Profile,
    get_current_settings,
    load_profiles,
    save_profiles,
    temporary_settings,
)

from spotwave.deployments.keys import USER
from spotwave.deployments.report import Report

NAME = "spotwave"


def write_profile(url: str, auth_string: str, report: Report) -> None:
    """Write the profile for the server at `url`, and report changes and conflicts. Safe to repeat."""
    try:
        _write(url, auth_string, report)
    except (OSError, ValueError) as error:  # the folder is not writable, or the file is not valid TOML
        reason = " ".join(str(error).split())[:200]
        report(
            f"the Prefect profile '{NAME}' could not be written ({reason}): only `spotwave` commands find this server"
        )


def _write(url: str, auth_string: str, report: Report) -> None:
    profiles = load_profiles(include_defaults=False)
    if NAME in profiles.names and not _is_ours(profiles[NAME]):
        report(
            f"the Prefect profile '{NAME}' in {_path()} was not created by Spotwave and is not changed. Rename it "
            f"(`prefect profile rename {NAME} <other>`) and run `spotwave up` again, so that `prefect` finds {url}"
        )
        return
    wanted = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: auth_string}
    before = (profiles.active_name, dict(profiles[NAME].settings) if NAME in profiles.names else None)
    if NAME in profiles.names:
        profiles.remove_profile(NAME)
    profiles.add_profile(Profile(name=NAME, settings=wanted))
    if profiles.active_name is None:
        profiles.set_active(NAME)
    if before != (profiles.active_name, wanted):
        _save(profiles)
        report(f"Prefect profile '{NAME}' written to {_path()}")
    else:
        _close(_path())
    for line in conflicts(profiles.active_name):
        report(line)


def conflicts(active: str | None) -> list[str]:
    """Return a line for each setting that keeps plain `prefect` commands from using the server, with the remedy."""
    found = []
    chosen = os.environ.get("PREFECT_PROFILE") or active
    if chosen != NAME:
        found.append(
            f"your Prefect profile '{chosen}' stays active: use `prefect --profile {NAME} ...` for this server, or "
            f"make it the default with `prefect profile use {NAME}`"
        )
    if os.environ.get("PREFECT_API_KEY") or (chosen != NAME and get_current_settings().api.key):
        found.append(
            "PREFECT_API_KEY is set and overrides the password: `prefect` commands get 401 from this server. Unset it."
        )
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        if os.environ.get(name):
            found.append(f"{name} is set and overrides the profile: `prefect` commands may not reach this server")
    return found


def remove_profile() -> bool:
    """Remove the profile that Spotwave wrote; return whether it existed. Raises OSError."""
    try:
        profiles = load_profiles(include_defaults=False)
    except ValueError:
        return False  # not valid TOML, so not written by Spotwave
    if NAME not in profiles.names or not _is_ours(profiles[NAME]):
        return False
    if profiles.active_name == NAME:
        profiles.set_active(None)
    profiles.remove_profile(NAME)
    if profiles.names or profiles.active_name:
        _save(profiles)
    else:
        _path().unlink()
    return True


def is_active_for(url: str) -> bool:
    """Return whether this process's settings have `url` from the profile that Spotwave wrote."""
    profile = get_settings_context().profile
    return profile.name == NAME and _is_ours(profile) and profile.settings.get(PREFECT_API_URL) == url


def _is_ours(profile: Profile) -> bool:
    """Return whether Spotwave wrote the profile, for this home or another; a user's own profile may have its name."""
    host = urlsplit(str(profile.settings.get(PREFECT_API_URL, ""))).hostname
    auth = str(profile.settings.get(PREFECT_API_AUTH_STRING) or "")
    return host == "127.0.0.1" and auth.startswith(f"{USER}:")


def _path() -> Path:
    path = get_current_settings().profiles_path
    assert path is not None  # Prefect sets a default
    return path.resolve()  # so that a symbolic link (dotfiles) is kept


def _save(profiles: object) -> None:
    """Write the profiles file atomically, with permissions for the owner only before the password is written."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    os.close(descriptor)
    part = Path(name)
    try:
        with temporary_settings({PREFECT_PROFILES_PATH: part}):
            save_profiles(profiles)  # type: ignore[arg-type]
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _close(path: Path) -> None:
    if path.exists():
        path.chmod(0o600)
