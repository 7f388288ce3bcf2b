"""Market data from Azure Resource Manager: Resource SKUs, and eviction rates from Resource Graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ServiceResponseError,
)
from azure.core.rest import HttpRequest
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

from spotwave.blocks.azure.clients import SCOPE, LoopbackBearer
from spotwave.blocks.azure.evictions import QUERY, rates
from spotwave.blocks.azure.pages import all_pages, listed
from spotwave.blocks.azure.skus import SKU
from spotwave.blocks.concurrent import Unavailable
from spotwave.blocks.endpoints import is_loopback
from spotwave.blocks.http import Garbled, patiently

if TYPE_CHECKING:
    from spotwave.blocks.azure.credentials import AzureCredentials

_SKUS_VERSION = "2021-07-01"
# Retries of 429 and 5xx take at most about seven seconds, unless a Retry-After asks for more.
_PATIENCE = {"retry_total": 4, "retry_backoff_factor": 0.5, "retry_backoff_max": 8, "connection_timeout": 5}
_MOST_PAGES = 200

_RENEW = "check the service principal of the Azure Compute Credentials block; its secret may have expired"
_REMEDIES = {
    401: _RENEW,
    403: "give the identity the Reader role on the subscription",
    404: "check the subscription ID of the Azure Compute Credentials block",
    429: "too many calls; try again in a few minutes",
}


class Arm:
    """A subscription at a management endpoint. Thread-safe."""

    def __init__(self, credentials: AzureCredentials, endpoint: str) -> None:
        self._credential = credentials.credential()
        self._endpoint = endpoint
        self._subscription = credentials.subscription_id
        settings: dict[str, Any] = {"base_url": endpoint, **_PATIENCE}
        if is_loopback(endpoint):
            settings["authentication_policy"] = LoopbackBearer(self._credential, SCOPE)
        else:
            settings["credential_scopes"] = [SCOPE]
        self._compute = ComputeManagementClient(self._credential, self._subscription, **settings)
        self._graph = ResourceGraphClient(self._credential, **settings)

    def log_in(self) -> None:
        """Get a token, which all calls then share. Raises Unavailable."""

        def ask() -> None:
            with _readable_errors("the login"):
                self._credential.get_token(SCOPE)

        patiently(ask, "the login")

    def skus(self, region: str) -> pl.DataFrame:
        """Return the Resource SKUs of a region, as `SKU`. Raises Unavailable.

        Uses the client's own pipeline but reads bytes: `resource_skus.list` creates a Python object per capability,
        which takes half a second of CPU time per region.
        """
        here = quote(f"location eq '{region}'", safe="")
        first = (
            f"{self._endpoint}/subscriptions/{self._subscription}/providers/Microsoft.Compute/skus"
            f"?api-version={_SKUS_VERSION}&$filter={here}"
        )
        return all_pages(first, self._endpoint, self._page)

    def _page(self, address: str) -> tuple[pl.DataFrame, str | None]:
        return patiently(lambda: listed(self._get(address), "value", "nextLink", SKU), "Resource SKUs")

    def _get(self, address: str) -> bytes:
        with _readable_errors("Resource SKUs"):
            answer = self._compute.send_request(HttpRequest("GET", address), stream=True)
            with answer:
                body: bytes = answer.read()  # before raise_for_status, since it contains the error code
                answer.raise_for_status()
            return body

    def eviction_rates(self) -> pl.DataFrame:
        """Return every known eviction rate, as `evictions.RATES`. Raises Unavailable."""
        found: list[dict[str, Any]] = []
        token: str | None = None
        for _ in range(_MOST_PAGES):
            page = patiently(lambda token=token: self._rates(token), "Resource Graph")  # type: ignore[misc]
            found += page.data
            token = page.skip_token
            if not token:
                break
        return rates(found)

    def _rates(self, token: str | None) -> Any:
        asked = QueryRequest(query=QUERY, options=QueryRequestOptions(top=1000, skip_token=token))
        with _readable_errors("Resource Graph"):
            page = self._graph.resources(asked)
        if not isinstance(page.data, list):
            raise Garbled("it has no 'data'")
        return page


@contextmanager
def _readable_errors(what: str) -> Iterator[None]:
    """Turn the SDK's errors into one line: what failed, the code, the remedy. Raises Unavailable or Garbled."""
    try:
        yield
    except (DecodeError, IncompleteReadError, ServiceResponseError) as error:
        raise Garbled(f"the connection was cut, or it is not JSON ({type(error).__name__})") from error
    except HttpResponseError as error:
        status = error.status_code or 0
        if isinstance(error, ClientAuthenticationError) and not status:
            raise Unavailable(f"{what} failed: no token; {_RENEW}, or check the network") from error
        code = f"{status} {error.error.code}" if error.error and error.error.code else f"{status}"
        raise Unavailable(f"{what} failed: {code}; {_REMEDIES.get(status, 'try again later')}") from error
    except AzureError as error:
        raise Unavailable(f"{what} failed: {type(error).__name__}; check the network and try again") from error
