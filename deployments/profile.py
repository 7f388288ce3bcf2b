"""The Prefect profile `spotwave`: how the user's own commands reach the embedded server, password and all.

It stands in the user's own file of profiles (PREFECT_PROFILES_PATH, as a rule ~/.prefect/profiles.toml), which is then
readable by the user alone. It becomes the active one unless that file names another.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
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

NAME = "spotwave"

Say = Callable[[str], None]


def write_profile(url: str, auth_string: str, say: Say) -> None:
    """Let plain `prefect` commands find the server at `url`; says what the user has to know. Safe to repeat."""
    try:
        _write(url, auth_string, say)
    except (OSError, ValueError) as error:  # a folder that is not ours to write in, a file that is no TOML
        reason = " ".join(str(error).split())[:200]
        say(f"the Prefect profile '{NAME}' could not be written ({reason}): only `spotwave` commands find this server")


def _write(url: str, auth_string: str, say: Say) -> None:
    profiles = load_profiles(include_defaults=False)
    if NAME in profiles.names and not _is_ours(profiles[NAME]):
        say(
            f"the Prefect profile '{NAME}' in {_path()} is your own and stays as it is. Rename it "
            f"(`prefect profile rename {NAME} <other>`) and run `spotwave up` again: then `prefect` commands find {url}"
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
        say(f"Prefect profile '{NAME}' written to {_path()}")
    else:
        _close(_path())
    for line in hindrances(profiles.active_name):
        say(line)


def hindrances(active: str | None) -> list[str]:
    """What keeps plain `prefect` commands from the server, with the remedy; one line each."""
    found = []
    chosen = os.environ.get("PREFECT_PROFILE") or active
    if chosen != NAME:
        found.append(
            f"your Prefect profile '{chosen}' stays active: `prefect --profile {NAME} ...` speaks to this server, "
            f"`prefect profile use {NAME}` makes it the usual one"
        )
    if os.environ.get("PREFECT_API_KEY") or (chosen != NAME and get_current_settings().api.key):
        found.append("PREFECT_API_KEY is set and goes before the password: `prefect` commands get 401 here. Unset it.")
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        if os.environ.get(name):
            found.append(f"{name} is set and goes before the profile: `prefect` commands may not reach this server")
    return found


def remove_profile() -> bool:
    """Take ours away; whether there was one. Raises OSError."""
    try:
        profiles = load_profiles(include_defaults=False)
    except ValueError:
        return False  # no TOML, so not written by us
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
    """Whether the settings of this process have `url` from our profile."""
    profile = get_settings_context().profile
    return profile.name == NAME and _is_ours(profile) and profile.settings.get(PREFECT_API_URL) == url


def _is_ours(profile: Profile) -> bool:
    """Another home's, too: the last `up` has it. A user's own profile may bear the name."""
    host = urlsplit(str(profile.settings.get(PREFECT_API_URL, ""))).hostname
    auth = str(profile.settings.get(PREFECT_API_AUTH_STRING) or "")
    return host == "127.0.0.1" and auth.startswith(f"{USER}:")


def _path() -> Path:
    path = get_current_settings().profiles_path
    assert path is not None  # Prefect fills it in
    return path.resolve()  # a link into somebody's collection of such files stays one


def _save(profiles: object) -> None:
    """As Prefect writes it, but whole or not at all, and closed to others before the password is in it."""
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
