"""The SDK's clients for machines, as patient as we want them: bounded retries, capped waits, nothing done unasked."""

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
LONGEST_WAIT_S = 30  # of one Retry-After, which the SDK would sleep out however long it is
POLL_S = 1.0
_TIMEOUTS = {"connection_timeout": 5, "read_timeout": 60}
# Three tries more of 408, 429 and 5xx, about a second and a half in all unless a Retry-After asks for more.
_RETRY: dict[str, Any] = {"retry_total": RETRIES, "retry_backoff_factor": 0.2, "retry_backoff_max": 4}


class _ShortWaits(SansIOHTTPPolicy[Any, Any]):
    """Cuts a Retry-After to `LONGEST_WAIT_S`, for the retries as for the polling of long operations."""

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        headers = response.http_response.headers
        asked = headers.get("Retry-After", "")
        if asked and not (asked.isdigit() and int(asked) <= LONGEST_WAIT_S):
            headers["Retry-After"] = str(LONGEST_WAIT_S)  # a date, too


class LoopbackBearer(BearerTokenCredentialPolicy[Any, Any]):
    """Sends tokens over plain http: to this computer alone, see `Endpoint`."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.context.options["enforce_https"] = False
        super().on_request(request)


class _LoopbackTransport(RequestsTransport):  # type: ignore[misc]  # untyped
    """Speaks plain http to this computer, where the Key Vault client insists on https addresses."""

    def send(self, request: Any, **kwargs: Any) -> Any:
        if not is_loopback(request.url):
            raise ValueError("plain http is for this computer alone")
        asked_for = request.url
        request.url = "http://" + asked_for.partition("://")[2]
        try:
            return super().send(request, **kwargs)
        finally:
            request.url = asked_for  # the policies look at it again, for the challenge and for a retry


def clients_of(credentials: AzureCredentials, endpoint: str, vault_url: str) -> Clients:
    """Shared by all blocks of these settings: each new one would ask for tokens anew, at every look at a machine."""
    parts = (credentials.subscription_id, credentials.tenant_id, credentials.client_id, credentials.client_secret)
    return _shared(*parts, endpoint, vault_url)


class Clients:
    """One subscription at one endpoint. Making it calls nobody; the SDKs are imported when used. Safe to use from
    several threads."""

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
        """Any resource by its id. Of the network we need so little that its own client, whose import takes 280 MiB in
        every controller's run, is not worth it."""
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
            # All of the client's own policies run as they do elsewhere, its challenge among them; only the last
            # step is plain, and a loopback address is no name below vault.azure.net.
            address = "https://" + address.partition("://")[2]
            settings |= {"transport": _LoopbackTransport(**_TIMEOUTS), "verify_challenge_resource": False}
        return SecretClient(address, self.credential, **settings)

    def get(self, path: str, api_version: str, **query: str) -> dict[str, Any] | None:
        """A resource of Resource Manager as it is told; None if there is none. Raises the SDK's errors."""
        asked = HttpRequest("GET", f"{self._endpoint}{path}", params={"api-version": api_version, **query})
        answer = self.compute.send_request(asked)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def all(self, path: str, api_version: str) -> Iterator[dict[str, Any]]:
        """What a list of Resource Manager tells, page by page. Raises the SDK's errors.

        DecodeError for what is no list: an empty one would say that nothing is left.
        """
        try:
            for page in followed(f"{self._endpoint}{path}?api-version={api_version}", self._endpoint, self._page):
                yield from page
        except Unavailable as error:
            raise DecodeError(str(error)) from error

    def _page(self, address: str) -> tuple[list[dict[str, Any]], str | None]:
        """(rows, where the next page is)."""
        answer = self.compute.send_request(HttpRequest("GET", address))
        answer.raise_for_status()
        page = answer.json()
        if not isinstance(page, dict) or not isinstance(page.get("value"), list):
            raise DecodeError("the list has no 'value'", response=answer)
        return page["value"], page.get("nextLink") or None

    def _settings(self) -> dict[str, Any]:
        """Its own list of policies: the SDK's would register a resource provider unasked, and wait for it for ever."""
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
