"""The Prefect API in use: the user's if one is configured, else the embedded server's.

Prefect 3.9 looks for the address in this order: PREFECT_API_URL in the environment, `.env`, `prefect.toml` and
`pyproject.toml` in the working directory, the active profile. The embedded server's address and auth string are
written to a profile in the user's profiles file (deployments/profile.py).
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
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string, fingerprint, known_auth_string
from spotwave.deployments.processes import ENV_MARK
from spotwave.deployments.proxies import usable
from spotwave.deployments.server_settings import without_server_settings
from spotwave.deployments.unavailable import Unavailable as Unavailable
from spotwave.deployments.unavailable import no_answer, plain_errors

# A server that is short of database connections answers 500, and Prefect's client does not retry on 500 by default.
# A busy server on SQLite answers 503 if another client has written since the transaction began (`create_task_run` and
# others begin without the write lock). Six attempts in a row have failed in this way and ended a job. Nine attempts
# take up to 8 min.
_CLIENT_RETRIES = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500", "PREFECT_CLIENT_MAX_RETRIES": "8"}
_TOML_MARK = "# Written by `spotwave up`, removed by `spotwave down`.\n"


# Settings with a certificate file or folder: of Prefect, OpenSSL and the clouds' SDKs.
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
    """Return this process's environment variables and Prefect settings.

    Settings from a profile or file are included, because a child process has another PREFECT_HOME and working
    directory. Raises Unavailable if a proxy cannot be used or a certificate file is missing.
    """
    base = {key: value for key, value in os.environ.items() if key != "PREFECT_PROFILE"}
    base |= get_current_settings().to_environment_variables(exclude_unset=True)
    base |= {name: str(Path(base[name]).absolute()) for name in _CERTIFICATES if base.get(name)}
    for name in _READ_BY_EVERY_CLIENT:
        if base.get(name) and not Path(base[name]).is_file():
            raise Unavailable(
                f"{name}: the file {base[name]} does not exist. Correct it, or unset it for this command: "
                f"env -u {name} spotwave ..."
            )
    return usable(base)


@dataclass(frozen=True)
class Api:
    """The Prefect API in use. `url` ends in /api."""

    url: str
    embedded: bool

    @property
    def ui_url(self) -> str:
        return (get_current_settings().ui_url or self.url.removesuffix("/api")).rstrip("/")

    def auth_fingerprint(self, home: Home) -> str:
        """Return the fingerprint of the embedded server's auth string; empty for the user's own API."""
        return fingerprint(auth_string(home)) if self.embedded else ""

    def environment(self, home: Home) -> dict[str, str]:
        """Return the environment for child processes: this API's settings, the home, and the mark of the home."""
        base = without_server_settings(base_environment())
        if self.embedded:
            # An API key would take precedence over the auth string, and the embedded server would reject it.
            base = {name: value for name, value in base.items() if name != "PREFECT_API_KEY"}
            base["PREFECT_API_AUTH_STRING"] = auth_string(home)
        elif _is_embedded_auth(base.get("PREFECT_API_AUTH_STRING"), home):
            del base["PREFECT_API_AUTH_STRING"]  # the embedded server's password must not go to another server
        return (
            _CLIENT_RETRIES
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
        """Direct this process's Prefect calls to this API, and with the embedded API also Prefect's files to the home.

        Raises Unavailable if the API does not answer or rejects the credentials, or if a proxy cannot be used.
        """
        updates: dict[Any, Any] = {PREFECT_API_URL: self.url}
        if self.embedded:
            updates |= {PREFECT_HOME: home.prefect, PREFECT_API_AUTH_STRING: auth_string(home), PREFECT_API_KEY: None}
        elif (own := get_current_settings().api.auth_string) and _is_embedded_auth(own.get_secret_value(), home):
            updates[PREFECT_API_AUTH_STRING] = None
        base_environment()  # reports invalid settings in one line; each client would raise its own exception
        # Blocks read the home from the environment.
        environment = usable(os.environ) | {ENV_HOME: str(home.path), ENV_RESULTS: str(home.results)}
        with _environment_is(environment), temporary_settings(updates), plain_errors(self.url, self.embedded):
            yield


@contextmanager
def _environment_is(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set the environment to `wanted`, and restore the variables that differed at the end."""
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
    """Return the API address that the user has configured; None if there is none or it is the embedded server's.

    Reads the settings as Prefect sees them in this process. The profile that `up` wrote is ignored.
    """
    url = get_current_settings().api.url
    return None if not url or url == own_url or profile.is_active_for(url) else url


async def check(url: str) -> None:
    """Check that the configured API answers and accepts the credentials. Raises Unavailable with one line."""
    try:
        with plain_errors(url, embedded=False):
            async with get_client() as client:
                problem = await client.api_healthcheck()
                if isinstance(problem, httpx.HTTPStatusError):
                    raise problem
                if problem is not None:
                    raise Unavailable(no_answer(url, False, problem))
                await client.read_work_pools(limit=1)  # the health check needs no credentials, this call does
    except httpx.HTTPStatusError as error:
        raise Unavailable(
            f"The configured Prefect API {url} answers HTTP {error.response.status_code}: set PREFECT_API_URL to the "
            "address of its API, which ends in /api, or look into that server's log."
        ) from error


def remove_prefect_toml(folder: Path) -> None:
    """Remove the prefect.toml that earlier versions wrote for plain `prefect` commands.

    It holds an address without a password, which would take precedence over the profile. The user's own prefect.toml
    is never touched.
    """
    path = folder / "prefect.toml"
    if path.exists() and path.read_text().startswith(_TOML_MARK):
        path.unlink(missing_ok=True)


def _is_embedded_auth(auth: str | None, home: Home) -> bool:
    return auth is not None and auth == known_auth_string(home)
