"""Which Prefect API is used: the user's, if one is configured, else the embedded one.

Prefect 3.8 reads, highest first: PREFECT_API_URL in the environment, `.env`, `prefect.toml` and then
`pyproject.toml` in the working directory, the active profile. The embedded server's address is left in a
`prefect.toml`, which therefore wins over a profile, and is taken away again when a profile names an API.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prefect.client.orchestration import get_client
from prefect.context import get_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, get_current_settings, temporary_settings

from blocks.home import ENV_HOME, ENV_RESULTS
from deployments.database import without_the_servers
from deployments.home import Home
from deployments.processes import ENV_MARK
from node.contract import write_text

# A server that is short of database connections answers 500; Prefect's client gives up on that at once.
_PATIENT = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500"}
_TOML_MARK = "# Written by `spotwave up`, removed by `spotwave down`.\n"


class Unavailable(Exception):
    """Something that `up` needs does not run; the message is what the user is told."""


def base_environment() -> dict[str, str]:
    """This process's environment and settings: those from a profile or file must reach processes whose PREFECT_HOME
    and folder are others."""
    base = {key: value for key, value in os.environ.items() if key != "PREFECT_PROFILE"}
    return base | get_current_settings().to_environment_variables(exclude_unset=True)


@dataclass(frozen=True)
class Api:
    """A Prefect API in use. `url` ends in /api."""

    url: str
    embedded: bool

    @property
    def ui_url(self) -> str:
        return (get_current_settings().ui_url or self.url.removesuffix("/api")).rstrip("/")

    def flow_run_url(self, flow_run_id: object) -> str:
        """Where the UI shows a run."""
        return f"{self.ui_url}/runs/flow-run/{flow_run_id}"

    def environment(self, home: Home) -> dict[str, str]:
        """The environment of what we start: this API's settings, the home, and the mark that it is ours."""
        return (
            _PATIENT
            | without_the_servers(base_environment())
            | {
                "PREFECT_API_URL": self.url,
                "PREFECT_HOME": str(home.prefect),
                "PREFECT_LOCAL_STORAGE_PATH": str(home.storage),
                ENV_HOME: str(home.path),
                ENV_RESULTS: str(home.results),
                ENV_MARK: str(home.path),
            }
        )

    @contextmanager
    def in_use(self, home: Home) -> Iterator[None]:
        """Prefect calls of this process go to this API; its files to the home if it is the embedded one."""
        updates = {PREFECT_API_URL: self.url} | ({PREFECT_HOME: home.prefect} if self.embedded else {})
        before = {key: os.environ.get(key) for key in (ENV_HOME, ENV_RESULTS)}
        os.environ |= {ENV_HOME: str(home.path), ENV_RESULTS: str(home.results)}  # blocks look there
        try:
            with temporary_settings(updates):
                yield
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})


def configured_url(home: Home, own_url: str | None) -> str | None:
    """The API address that the user has configured, if it is not our own embedded server's.

    Reads the settings as Prefect sees them in this process, looking past a `prefect.toml` that we wrote.
    """
    url = get_current_settings().api.url
    if not url:
        return None
    ours = {own_url, _toml_url(home)} - {None}
    if url not in ours:
        return url
    profile = get_settings_context().profile.settings.get(PREFECT_API_URL)
    return profile if profile and profile not in ours else None


async def check(url: str) -> None:
    """Raises Unavailable, in one line, if the configured API does not answer."""
    async with get_client() as client:
        problem = await client.api_healthcheck()
    if problem is not None:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise Unavailable(
            f"The configured Prefect API {url} does not answer ({reason[:120]}): start it, or unset "
            "PREFECT_API_URL (`prefect config view --show-sources` says where it is set) to use the embedded server."
        )


def write_prefect_toml(home: Home, url: str) -> None:
    """Leave the address for plain `prefect` commands; a prefect.toml of the user's own is never touched."""
    if home.prefect_toml.exists() and not _is_ours(home):
        return
    text = f'{_TOML_MARK}[api]\nurl = "{url}"\n'
    if not home.prefect_toml.exists() or home.prefect_toml.read_text() != text:
        write_text(home.prefect_toml, text)


def remove_prefect_toml(home: Home) -> None:
    """Take our prefect.toml away; safe to repeat."""
    if _is_ours(home):
        home.prefect_toml.unlink(missing_ok=True)


def _is_ours(home: Home) -> bool:
    return home.prefect_toml.exists() and home.prefect_toml.read_text().startswith(_TOML_MARK)


def _toml_url(home: Home) -> str | None:
    if not _is_ours(home):
        return None
    lines = home.prefect_toml.read_text().splitlines()
    return next((line.split('"')[1] for line in lines if line.startswith("url = ")), None)
