"""Which Prefect API is used: the user's, if one is configured, else the embedded one.

Prefect 3.8 reads, highest first: PREFECT_API_URL in the environment, `.env`, `prefect.toml` and then
`pyproject.toml` in the working directory, the active profile. The embedded server's address and auth string are
left in a profile of the user's (deployments/profile.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_HOME,
    get_current_settings,
    temporary_settings,
)

from spotwave.blocks.home import ENV_HOME, ENV_RESULTS
from spotwave.deployments import profile
from spotwave.deployments.database import without_the_servers
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string, fingerprint, known_auth_string
from spotwave.deployments.processes import ENV_MARK
from spotwave.deployments.proxies import usable
from spotwave.deployments.unavailable import Unavailable as Unavailable
from spotwave.deployments.unavailable import silent, told_plainly

# A server that is short of database connections answers 500; Prefect's client gives up on that at once. And one that
# is busy, on SQLite, answers 503 at once where another has written since a transaction began (`create_task_run` and
# others begin without the write lock): six tries in a row met that, and ended a job. Nine take up to 8 min.
_PATIENT = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500", "PREFECT_CLIENT_MAX_RETRIES": "8"}
_TOML_MARK = "# Written by `spotwave up`, removed by `spotwave down`.\n"


# Files and folders of certificates: those of Prefect, of OpenSSL and of the clouds' SDKs.
_CERTIFICATES = (
    "PREFECT_API_SSL_CERT_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
)
_READ_BY_EVERY_CLIENT = _CERTIFICATES[:2]  # Prefect's and httpx's, whatever the address


def base_environment() -> dict[str, str]:
    """This process's environment and settings: those from a profile or file must reach processes whose PREFECT_HOME
    and folder are others. Raises Unavailable for a proxy that cannot be used, and certificates that are not there."""
    base = {key: value for key, value in os.environ.items() if key != "PREFECT_PROFILE"}
    base |= get_current_settings().to_environment_variables(exclude_unset=True)
    base |= {name: str(Path(base[name]).absolute()) for name in _CERTIFICATES if base.get(name)}
    for name in _READ_BY_EVERY_CLIENT:
        if base.get(name) and not Path(base[name]).is_file():
            raise Unavailable(
                f"{name}: there is no file {base[name]}. Correct it, or unset it for this command: "
                f"env -u {name} spotwave ..."
            )
    return usable(base)


@dataclass(frozen=True)
class Api:
    """A Prefect API in use. `url` ends in /api."""

    url: str
    embedded: bool

    @property
    def ui_url(self) -> str:
        return (get_current_settings().ui_url or self.url.removesuffix("/api")).rstrip("/")

    def auth_fingerprint(self, home: Home) -> str:
        """Which auth string of ours it asks for; empty for an API of the user's own."""
        return fingerprint(auth_string(home)) if self.embedded else ""

    def environment(self, home: Home) -> dict[str, str]:
        """The environment of what we start: this API's settings, the home, and the mark that it is ours."""
        base = without_the_servers(base_environment())
        if self.embedded:
            # A key would go before the auth string, and be refused.
            base = {name: value for name, value in base.items() if name != "PREFECT_API_KEY"}
            base["PREFECT_API_AUTH_STRING"] = auth_string(home)
        elif _is_the_embedded_ones(base.get("PREFECT_API_AUTH_STRING"), home):
            del base["PREFECT_API_AUTH_STRING"]  # of our profile: no other server has any business with it
        return (
            _PATIENT
            | base
            | {
                "PREFECT_API_URL": self.url,
                "PREFECT_HOME": str(home.prefect),
                "PREFECT_LOCAL_STORAGE_PATH": str(home.storage),
                "TMPDIR": str(home.temporary),
                ENV_HOME: str(home.path),
                ENV_RESULTS: str(home.results),
                ENV_MARK: str(home.path),
            }
        )

    @contextmanager
    def in_use(self, home: Home) -> Iterator[None]:
        """Prefect calls of this process go to this API; its files to the home if it is the embedded one.

        Raises Unavailable where the API does not answer or refuses us, and for a proxy that cannot be used.
        """
        updates: dict[Any, Any] = {PREFECT_API_URL: self.url}
        if self.embedded:
            updates |= {PREFECT_HOME: home.prefect, PREFECT_API_AUTH_STRING: auth_string(home), PREFECT_API_KEY: None}
        elif (own := get_current_settings().api.auth_string) and _is_the_embedded_ones(own.get_secret_value(), home):
            updates[PREFECT_API_AUTH_STRING] = None
        base_environment()  # raises for what would end in an exception of each client
        # Blocks look for the home there.
        environment = usable(os.environ) | {ENV_HOME: str(home.path), ENV_RESULTS: str(home.results)}
        with _environment_is(environment), temporary_settings(updates), told_plainly(self.url, self.embedded):
            yield


@contextmanager
def _environment_is(wanted: Mapping[str, str]) -> Iterator[None]:
    """What differs from `wanted` is put back at the end, and nothing else."""
    before = {name: os.environ.get(name) for name in {*os.environ, *wanted} if os.environ.get(name) != wanted.get(name)}
    _set({name: wanted.get(name) for name in before})
    try:
        yield
    finally:
        _set(before)


def _set(changed: Mapping[str, str | None]) -> None:
    for name, value in changed.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def configured_url(own_url: str | None) -> str | None:
    """The API address that the user has configured, if it is not our own embedded server's.

    Reads the settings as Prefect sees them in this process, looking past the profile that an `up` wrote.
    """
    url = get_current_settings().api.url
    return None if not url or url == own_url or profile.is_active_for(url) else url


async def check(url: str) -> None:
    """Raises Unavailable, in one line, if the configured API does not answer, or does not let us in."""
    try:
        with told_plainly(url, embedded=False):
            async with get_client() as client:
                problem = await client.api_healthcheck()
                if isinstance(problem, httpx.HTTPStatusError):
                    raise problem
                if problem is not None:
                    raise Unavailable(silent(url, False, problem))
                await client.read_work_pools(limit=1)  # its health is told to everybody
    except httpx.HTTPStatusError as error:
        raise Unavailable(
            f"The configured Prefect API {url} answers HTTP {error.response.status_code}: give PREFECT_API_URL the "
            "address of its API, which ends in /api, or look into that server's log."
        ) from error


def remove_prefect_toml(folder: Path) -> None:
    """Remove what earlier versions left for plain `prefect` commands: an address without a password, which would go
    before the profile. A prefect.toml of the user's own is never touched."""
    path = folder / "prefect.toml"
    if path.exists() and path.read_text().startswith(_TOML_MARK):
        path.unlink(missing_ok=True)


def _is_the_embedded_ones(auth: str | None, home: Home) -> bool:
    return auth is not None and auth == known_auth_string(home)
