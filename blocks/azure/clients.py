"""SDK clients for machines, with bounded retries, capped waits and no side effects."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import DecodeError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    ContentDecodePolicy,
    RequestIdPolicy,
    RetryPolicy,
    SansIOHTTPPolicy,
    SensitiveHeaderCleanupPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from pydantic import SecretStr

from spotwave.blocks.azure.credentials import AzureCredentials
from spotwave.blocks.azure.pages import followed
from spotwave.blocks.concurrent import Unavailable
from spotwave.blocks.endpoints import is_loopback

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest, PipelineResponse
    from azure.keyvault.secrets import SecretClient
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.resource.resources.operations import ResourcesOperations
    from azure.mgmt.resourcegraph import ResourceGraphClient

SCOPE = "https://management.azure.com/.default"
RETRIES = 3
LONGEST_WAIT_S = 30  # limit for a Retry-After, which the SDK would otherwise follow however long it is
POLL_S = 1.0
_TIMEOUTS = {"connection_timeout": 5, "read_timeout": 60}
# Three retries of 408, 429 and 5xx, about a second and a half in all unless a Retry-After asks for more.
_RETRY: dict[str, Any] = {"retry_total": RETRIES, "retry_backoff_factor": 0.2, "retry_backoff_max": 4}


class _ShortWaits(SansIOHTTPPolicy[Any, Any]):
    """Limits a Retry-After to `LONGEST_WAIT_S`, for retries and for the polling of long operations."""

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        headers = response.http_response.headers
        asked = headers.get("Retry-After", "")
        if asked and not (asked.isdigit() and int(asked) <= LONGEST_WAIT_S):
            headers["Retry-After"] = str(LONGEST_WAIT_S)  # also replaces a date


class LoopbackBearer(BearerTokenCredentialPolicy[Any, Any]):
    """Sends tokens over plain http, only to this computer; see `Endpoint`."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.context.options["enforce_https"] = False
        super().on_request(request)


class _LoopbackTransport(RequestsTransport):  # type: ignore[misc]  # untyped
    """Uses plain http to this computer, since the Key Vault client only accepts https addresses."""

    def send(self, request: Any, **kwargs: Any) -> Any:
        if not is_loopback(request.url):
            raise ValueError("plain http is only allowed to this computer")
        asked_for = request.url
        request.url = "http://" + asked_for.partition("://")[2]
        try:
            return super().send(request, **kwargs)
        finally:
            request.url = asked_for  # later policies read it, for the challenge and for a retry


def clients_of(credentials: AzureCredentials, endpoint: str, vault_url: str) -> Clients:
    """Return clients shared by all blocks with these settings, so that their tokens are reused."""
    parts = (credentials.subscription_id, credentials.tenant_id, credentials.client_id, credentials.client_secret)
    return _shared(*parts, endpoint, vault_url)


class Clients:
    """SDK clients for one subscription at one endpoint. Creating it makes no call; SDKs are imported on use.
    Thread-safe."""

    def __init__(self, credentials: AzureCredentials, endpoint: str, vault_url: str) -> None:
        self.subscription = credentials.subscription_id
        self.credential = credentials.credential()
        self.vault_url = vault_url
        self._endpoint = endpoint

    @cached_property
    def compute(self) -> ComputeManagementClient:
        from azure.mgmt.compute import ComputeManagementClient

        return ComputeManagementClient(self.credential, self.subscription, **self._settings())

    @cached_property
    def resources(self) -> ResourcesOperations:
        """Client for any resource by its id. Network resources use it too, since importing the network client would
        take 280 MiB in every run of a controller."""
        from azure.mgmt.resource.resources import ResourceManagementClient

        return ResourceManagementClient(self.credential, self.subscription, **self._settings()).resources

    @cached_property
    def graph(self) -> ResourceGraphClient:
        from azure.mgmt.resourcegraph import ResourceGraphClient

        return ResourceGraphClient(self.credential, **self._settings())

    @cached_property
    def secrets(self) -> SecretClient:
        from azure.keyvault.secrets import SecretClient

        settings: dict[str, Any] = {**_RETRY, **_TIMEOUTS, "per_retry_policies": [_ShortWaits()]}
        address = self.vault_url
        if urlsplit(address).scheme == "http":
            # All of the client's own policies, including its challenge, run as usual; only the transport is plain http,
            # and a loopback address is not below vault.azure.net.
            address = "https://" + address.partition("://")[2]
            settings |= {"transport": _LoopbackTransport(**_TIMEOUTS), "verify_challenge_resource": False}
        return SecretClient(address, self.credential, **settings)

    def get(self, path: str, api_version: str, **query: str) -> dict[str, Any] | None:
        """Return a resource from Resource Manager, None if it does not exist. Raises the SDK's errors."""
        asked = HttpRequest("GET", f"{self._endpoint}{path}", params={"api-version": api_version, **query})
        answer = self.compute.send_request(asked)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def all(self, path: str, api_version: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list of Resource Manager, page by page. Raises the SDK's errors.

        Raises DecodeError for anything but a list: an empty one would mean that nothing is left.
        """
        try:
            for page in followed(f"{self._endpoint}{path}?api-version={api_version}", self._endpoint, self._page):
                yield from page
        except Unavailable as error:
            raise DecodeError(str(error)) from error

    def _page(self, address: str) -> tuple[list[dict[str, Any]], str | None]:
        """Return (rows, address of the next page)."""
        answer = self.compute.send_request(HttpRequest("GET", address))
        answer.raise_for_status()
        page = answer.json()
        if not isinstance(page, dict) or not isinstance(page.get("value"), list):
            raise DecodeError("the list has no 'value'", response=answer)
        return page["value"], page.get("nextLink") or None

    def _settings(self) -> dict[str, Any]:
        """Return settings with an explicit list of policies: the SDK's default would register a resource provider and
        wait for it without limit."""
        if is_loopback(self._endpoint):
            bearer: BearerTokenCredentialPolicy[Any, Any] = LoopbackBearer(self.credential, SCOPE)
        else:
            bearer = ARMChallengeAuthenticationPolicy(self.credential, SCOPE)
        policies = [
            RequestIdPolicy(),
            UserAgentPolicy("spotwave"),
            ContentDecodePolicy(),
            RetryPolicy(**_RETRY),
            _ShortWaits(),
            bearer,
            SensitiveHeaderCleanupPolicy(),
        ]
        return {"base_url": self._endpoint, "policies": policies, "polling_interval": POLL_S, **_TIMEOUTS}


@lru_cache(maxsize=8)
def _shared(
    subscription_id: str,
    tenant_id: str | None,
    client_id: str | None,
    client_secret: SecretStr | None,
    endpoint: str,
    vault_url: str,
) -> Clients:
    credentials = AzureCredentials(
        subscription_id=subscription_id, tenant_id=tenant_id, client_id=client_id, client_secret=client_secret
    )
    return Clients(credentials, endpoint, vault_url)
