"""Machine access to the Prefect API: addresses, credentials and the checks of both."""

from __future__ import annotations

import json
import secrets as random
import time
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.core import Block
from prefect.settings import get_current_settings
from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from spotwave.blocks import tls
from spotwave.blocks.attempt_token import KEY_CHARS, USER, AttemptToken, question
from spotwave.blocks.basic_auth import basic as basic
from spotwave.blocks.endpoints import is_loopback
from spotwave.node.contract import MACHINES_POOL, SECRET_API

MARGIN_S = 900.0  #: how long after its deadline a machine may still report its result
_NO_API = (
    "access: no Prefect API is configured for machines; start one with `make up`, or set PREFECT_API_URL, "
    "or api_url of the Prefect Access block"
)


class PrefectAccess(Block):
    """
    How machines reach the Prefect API: directly, through the proxy of `spotwave proxy`, or not at all.

    Leave all fields empty to give machines the controller's own settings, which is right for the local cloud.
    Machines in a cloud need an address that they can reach, so not 127.0.0.1. With `way="proxy"` a machine gets a
    token for its own attempt instead of the API's credentials. The token only lets it run its own flow run.

    Example:
        A self-hosted server behind the proxy, and one that the machines reach with its own credentials:
        ```python
        from spotwave.blocks.access import PrefectAccess

        key = PrefectAccess.new_key()
        PrefectAccess(way="proxy", proxy_url="https://machines.example.org", proxy_key=key).save("proxy")
        PrefectAccess(api_url="https://prefect.example.org/api", auth_string="user:password").save("server")
        ```
    """

    _block_type_name = "Access to Prefect"  # Prefect reserves names that begin with "Prefect"
    _block_type_slug = "prefect-access"
    model_config = ConfigDict(hide_input_in_errors=True)

    way: Literal["direct", "proxy", "detached"] = Field(
        "direct",
        title="Way",
        description="direct: to the API, with its credentials. proxy: through `spotwave proxy`, with a token for the "
        "attempt. detached: machines use only the remote, and no Prefect API.",
    )
    api_url: str | None = Field(
        None,
        title="API URL",
        description="As seen from machines, e.g. 'https://prefect.example.org/api'. Empty: the controller's own.",
    )
    api_key: SecretStr | None = Field(
        None, title="API key", description="For Prefect Cloud. Key and auth string both empty: the controller's own."
    )
    auth_string: SecretStr | None = Field(
        None, title="Auth string", description="'user:password' of a self-hosted server with basic authentication."
    )
    ca: str | None = Field(
        None,
        title="Certificate of your own authority",
        description="PEM text of the certificate authority that signed the TLS certificate of the API or the proxy, if "
        "it is a private one. Machines then trust only this authority for Prefect. Empty: the public authorities.",
    )
    proxy_url: str | None = Field(
        None, title="Proxy URL", description="As seen from machines, without /api, e.g. 'https://machines.example.org'."
    )
    proxy_key: SecretStr | None = Field(
        None,
        title="Proxy key",
        description=f"Signs the machines' tokens; at least {KEY_CHARS} random characters. PrefectAccess.new_key() "
        "creates one.",
    )

    @field_validator("api_url", "proxy_url")
    @classmethod
    def _validate_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        url = (url or "").strip().rstrip("/")
        if not url:
            return None
        field = info.field_name
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise ValueError(f"{field}: must begin with http:// or https://, e.g. 'https://prefect.example.org/api'")
        if parts.username or parts.query or parts.fragment:
            raise ValueError(f"{field}: give only the address; credentials have fields of their own")
        return url.removesuffix("/api") if field == "proxy_url" else url

    @field_validator("ca")
    @classmethod
    def _validate_ca(cls, ca: str | None) -> str | None:
        return tls.checked(ca or "")

    @field_validator("proxy_key")
    @classmethod
    def _validate_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value():
            return None
        if len(key.get_secret_value()) < KEY_CHARS:
            raise ValueError(f"proxy_key: give at least {KEY_CHARS} characters; PrefectAccess.new_key() creates one")
        return key

    @staticmethod
    def new_key() -> SecretStr:
        """Return a new random key for the proxy: 256 bits."""
        return SecretStr(random.token_urlsafe(32))

    @property
    def detached(self) -> bool:
        """Whether machines work without the Prefect API."""
        return self.way == "detached"

    def secrets(
        self, *, job_key: str, attempt: int, lease_id: str, deadline: float, node: int = 0
    ) -> dict[str, SecretStr]:
        """Return {file name in a machine's secrets folder: content}: the PREFECT_* settings of one node, as JSON.

        deadline: Unix seconds by which the machine must have ended. lease_id: of the node. The result is the same for
        the same attempt and node. Raises ValueError if the block lacks a field that its `way` needs.
        """
        match self.way:
            case "detached":
                settings = {}
            case "proxy":
                url, key = self._proxy()
                token = AttemptToken(job_key, attempt, UUID(lease_id), int(deadline + MARGIN_S), node).signed(key)
                # Prefect's client sends an auth string over HTTP and websockets, but an API key over HTTP only.
                settings = {"PREFECT_API_URL": f"{url}/api", "PREFECT_API_AUTH_STRING": f"{USER}:{token}"}
            case "direct":
                settings = self._direct()
        ca = tls.sendable(self._authority())
        # The certificate is not secret, but it travels the same way.
        known = {tls.FILE: SecretStr(ca)} if ca and settings else {}
        return {SECRET_API: SecretStr(json.dumps(settings)), **known}

    def problem(self, here: bool) -> str | None:
        """Return what is wrong with the settings, without any network call: one line with the field and the remedy.

        here: whether the machines run on this computer. Returns None if no problem is found.
        """
        if self.detached:
            return None
        try:
            url = self._proxy()[0] if self.way == "proxy" else self._direct()["PREFECT_API_URL"]
        except ValueError as error:
            return str(error)
        field = "proxy_url" if self.way == "proxy" else "api_url"
        if not here and _is_local_name(url):
            return (
                f"{field}: machines in a cloud cannot reach {url}. Give an address that they can reach, or set the "
                "Prefect Access block's way to 'proxy' or 'detached'."
            )
        if url.startswith("http://") and not is_loopback(url):
            return f"{field}: {url} would send credentials over the network unencrypted. Use https."
        if self._shares_controllers_address() and not self.ca:
            return tls.unshared(url, here)
        return None

    def reached(self) -> str | None:
        """Request the address that machines use, from this computer. Return one line if that fails, else None."""
        if self.detached:
            return None
        try:
            if self.way == "proxy":
                url, key = self._proxy()
                return _ask_proxy(url, question(key, int(time.time()) + 60), self.ca)
            return _ask_api(self._direct(), self._authority())
        except ValueError as error:
            return str(error)

    def _shares_controllers_address(self) -> bool:
        """Whether machines use the controller's own API address, over TLS."""
        own = get_current_settings().api.url or ""
        return self.way == "direct" and self.api_url in (None, own) and own.startswith("https://")

    def _authority(self) -> str | None:
        """Return the certificate authority for machines: the block's `ca`, else the controller's if they share the
        API address."""
        return self.ca or (tls.controllers_own() if self._shares_controllers_address() else None)

    def _direct(self) -> dict[str, str]:
        """Return the settings for direct access. Raises ValueError if no API URL is configured."""
        own = get_current_settings().api
        url = self.api_url or own.url
        if not url:
            raise ValueError(_NO_API)
        key, auth = self.api_key, self.auth_string
        if not (key or auth):
            key, auth = own.key, own.auth_string
        settings = {"PREFECT_API_URL": url}
        if key:
            settings["PREFECT_API_KEY"] = key.get_secret_value()
        if auth:
            settings["PREFECT_API_AUTH_STRING"] = auth.get_secret_value()
        return settings

    def _proxy(self) -> tuple[str, str]:
        """Return the proxy's address and key. Raises ValueError if one is missing."""
        if not self.proxy_url:
            raise ValueError("proxy_url: give the address of `spotwave proxy` as machines see it, or use another way")
        if self.proxy_key is None:
            raise ValueError("proxy_key: give the key of `spotwave proxy`; PrefectAccess.new_key() creates one")
        return self.proxy_url, self.proxy_key.get_secret_value()


def _is_local_name(url: str) -> bool:
    """Whether only this computer or its local network can resolve the address.

    Private IP addresses do not count: networks can be connected.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".localhost", ".localdomain"))
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _ask_api(settings: dict[str, str], ca: str | None) -> str | None:
    url = settings["PREFECT_API_URL"]
    headers = {}
    if auth := settings.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = basic(auth)
    elif key := settings.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    result = tls.status(f"{url}/work_pools/{MACHINES_POOL}", headers, ca)
    match result:
        case 200:
            return None
        case 401 | 403:
            return f"api_key, auth_string: the Prefect API {url} rejects them. Give the credentials that it expects."
        case 404:
            return f"api_url: {url} has no work pool '{MACHINES_POOL}'. Run `spotwave up` with that API, or correct it."
    return f"api_url: the Prefect API {url} {_failure(result)}. Start it, or correct the address."


def _ask_proxy(url: str, token: str, ca: str | None) -> str | None:
    result = tls.status(f"{url}/health", {"Authorization": basic(f"{USER}:{token}")}, ca)
    match result:
        case 200:
            return None
        case 403:
            return f"proxy_key: the proxy {url} has a different key. Start it with this block."
        case 502:
            return f"proxy_url: the proxy {url} runs, but does not reach the Prefect API behind it. Start that API."
    return f"proxy_url: the proxy {url} {_failure(result)}. Start it with `spotwave proxy`, or correct the address."


def _failure(result: int | str) -> str:
    """Describe a failed request; result: an HTTP status, or the reason why there is none."""
    return f"answers HTTP {result}" if isinstance(result, int) else f"does not answer ({result})"
