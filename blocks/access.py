"""How a machine reaches the Prefect API, and what it holds to be let in."""

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

MARGIN_S = 900.0  #: a machine may tell how it ended for so long after its deadline
_NO_API = (
    "access: there is no Prefect API for machines to speak to; start one with `make up`, or set PREFECT_API_URL, "
    "or api_url of the Prefect Access block"
)


class PrefectAccess(Block):
    """
    How machines reach the Prefect API: directly, through the proxy of `spotwave proxy`, or not at all.

    Leave all fields empty to give machines what the controller itself uses, which is right for the local cloud.
    Machines in a cloud need an address that they can reach: not 127.0.0.1. With `way="proxy"` a machine holds a
    token of its own attempt instead of the API's credentials, with which it can run its own flow run and no more.

    Example:
        A self-hosted server behind the proxy, and one that the machines reach with its own credentials:
        ```python
        from spotwave.blocks.access import PrefectAccess

        key = PrefectAccess.new_key()
        PrefectAccess(way="proxy", proxy_url="https://machines.example.org", proxy_key=key).save("proxy")
        PrefectAccess(api_url="https://prefect.example.org/api", auth_string="user:password").save("server")
        ```
    """

    _block_type_name = "Access to Prefect"  # names that begin with "Prefect" are reserved
    _block_type_slug = "prefect-access"
    model_config = ConfigDict(hide_input_in_errors=True)

    way: Literal["direct", "proxy", "detached"] = Field(
        "direct",
        title="Way",
        description="direct: to the API, with its credentials. proxy: through `spotwave proxy`, with a token of the "
        "attempt. detached: a machine speaks to the remote alone.",
    )
    api_url: str | None = Field(
        None,
        title="API URL",
        description="As machines see it, e.g. 'https://prefect.example.org/api'. Empty: the controller's own.",
    )
    api_key: SecretStr | None = Field(
        None, title="API key", description="For Prefect Cloud. Key and auth string both empty: the controller's own."
    )
    auth_string: SecretStr | None = Field(
        None, title="Auth string", description="'user:password' of a self-hosted server that asks for one."
    )
    ca: str | None = Field(
        None,
        title="Certificate of your own authority",
        description="PEM text, where the API's or the proxy's TLS certificate is signed by an authority that only you "
        "know. Machines then trust it alone for Prefect. Empty: the usual authorities.",
    )
    proxy_url: str | None = Field(
        None, title="Proxy URL", description="As machines see it, without /api, e.g. 'https://machines.example.org'."
    )
    proxy_key: SecretStr | None = Field(
        None,
        title="Proxy key",
        description=f"Signs the machines' tokens; at least {KEY_CHARS} random characters. PrefectAccess.new_key() "
        "makes one.",
    )

    @field_validator("api_url", "proxy_url")
    @classmethod
    def _is_an_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        url = (url or "").strip().rstrip("/")
        if not url:
            return None
        field = info.field_name
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise ValueError(f"{field}: must begin with http:// or https://, e.g. 'https://prefect.example.org/api'")
        if parts.username or parts.query or parts.fragment:
            raise ValueError(f"{field}: give the address alone; credentials have fields of their own")
        return url.removesuffix("/api") if field == "proxy_url" else url

    @field_validator("ca")
    @classmethod
    def _is_a_certificate(cls, ca: str | None) -> str | None:
        return tls.checked(ca or "")

    @field_validator("proxy_key")
    @classmethod
    def _is_long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value():
            return None
        if len(key.get_secret_value()) < KEY_CHARS:
            raise ValueError(f"proxy_key: give at least {KEY_CHARS} characters; PrefectAccess.new_key() makes one")
        return key

    @staticmethod
    def new_key() -> SecretStr:
        """A fresh key for the proxy: 256 random bits."""
        return SecretStr(random.token_urlsafe(32))

    @property
    def detached(self) -> bool:
        """Whether machines do without the Prefect API."""
        return self.way == "detached"

    def secrets(
        self, *, job_key: str, attempt: int, lease_id: str, deadline: float, node: int = 0
    ) -> dict[str, SecretStr]:
        """File name in a machine's secrets folder -> content: the PREFECT_* settings of one attempt, as JSON.

        deadline: Unix seconds by which the machine must have ended. lease_id: the node's. The same for the same
        attempt and node.
        Raises ValueError when the block lacks what its way needs.
        """
        match self.way:
            case "detached":
                settings = {}
            case "proxy":
                url, key = self._proxy()
                token = AttemptToken(job_key, attempt, UUID(lease_id), int(deadline + MARGIN_S), node).signed(key)
                # Prefect's client sends an auth string with HTTP and in its websockets, an API key with HTTP alone.
                settings = {"PREFECT_API_URL": f"{url}/api", "PREFECT_API_AUTH_STRING": f"{USER}:{token}"}
            case "direct":
                settings = self._direct()
        ca = tls.sendable(self._authority())
        known = {tls.FILE: SecretStr(ca)} if ca and settings else {}  # no secret, on the same way
        return {SECRET_API: SecretStr(json.dumps(settings)), **known}

    def problem(self, here: bool) -> str | None:
        """What can be known to be wrong without asking anybody: one line that names the field and the remedy.

        here: whether the machines run on this computer.
        """
        if self.detached:
            return None
        try:
            url = self._proxy()[0] if self.way == "proxy" else self._direct()["PREFECT_API_URL"]
        except ValueError as error:
            return str(error)
        field = "proxy_url" if self.way == "proxy" else "api_url"
        if not here and _only_nearby(url):
            return (
                f"{field}: machines in a cloud cannot reach {url}. Give an address that they can, or set the Prefect "
                "Access block's way to 'proxy' or 'detached'."
            )
        if url.startswith("http://") and not is_loopback(url):
            return f"{field}: {url} would send credentials over the network in the clear. Use https."
        if self._as_the_controller() and not self.ca:
            return tls.unshared(url, here)
        return None

    def reached(self) -> str | None:
        """Ask the address that machines would use, from here: what is wrong in one line, or None."""
        if self.detached:
            return None
        try:
            if self.way == "proxy":
                url, key = self._proxy()
                return _ask_proxy(url, question(key, int(time.time()) + 60), self.ca)
            return _ask_api(self._direct(), self._authority())
        except ValueError as error:
            return str(error)

    def _as_the_controller(self) -> bool:
        """Whether machines are told to ask at the controller's own address, over TLS."""
        own = get_current_settings().api.url or ""
        return self.way == "direct" and self.api_url in (None, own) and own.startswith("https://")

    def _authority(self) -> str | None:
        """Whom machines believe: what the block says; else, at the controller's own address, whom that believes."""
        return self.ca or (tls.controllers_own() if self._as_the_controller() else None)

    def _direct(self) -> dict[str, str]:
        """Raises ValueError when neither the block nor the controller knows an API."""
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
        """Address and key. Raises ValueError for what is missing."""
        if not self.proxy_url:
            raise ValueError("proxy_url: give the address of `spotwave proxy` as machines see it, or use another way")
        if self.proxy_key is None:
            raise ValueError("proxy_key: give the key of `spotwave proxy`; PrefectAccess.new_key() makes one")
        return self.proxy_url, self.proxy_key.get_secret_value()


def _only_nearby(url: str) -> bool:
    """Whether an address means this computer, or is a name that no public name server knows.

    A private IP address is not one: networks can be joined.
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
    told = tls.status(f"{url}/work_pools/{MACHINES_POOL}", headers, ca)
    match told:
        case 200:
            return None
        case 401 | 403:
            return f"api_key, auth_string: the Prefect API {url} does not accept them. Give those that it asks for."
        case 404:
            return f"api_url: {url} has no work pool '{MACHINES_POOL}'. Run `spotwave up` with that API, or correct it."
    return f"api_url: the Prefect API {url} {_how(told)}. Start it, or correct the address."


def _ask_proxy(url: str, token: str, ca: str | None) -> str | None:
    told = tls.status(f"{url}/health", {"Authorization": basic(f"{USER}:{token}")}, ca)
    match told:
        case 200:
            return None
        case 403:
            return f"proxy_key: the proxy {url} has another key. Start it with this very block."
        case 502:
            return f"proxy_url: the proxy {url} is up, but does not reach the Prefect API behind it. Start that."
    return f"proxy_url: the proxy {url} {_how(told)}. Start it with `spotwave proxy`, or correct the address."


def _how(told: int | str) -> str:
    return f"answers HTTP {told}" if isinstance(told, int) else f"does not answer ({told})"
