"""SDK clients with a block's credentials and endpoints, their retries, and one-line texts for their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import (
    BadGateway,
    BadRequest,
    Forbidden,
    GatewayTimeout,
    GoogleAPICallError,
    InternalServerError,
    RetryError,
    ServiceUnavailable,
    TooManyRequests,
)
from google.api_core.retry import Retry
from google.auth import jwt
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import credentials as oauth2
from google.oauth2 import service_account
from google.protobuf.json_format import ParseError
from prefect_gcp import GcpCredentials

from spotwave.blocks import http
from spotwave.blocks.errors import MarketUnavailable

FAILURES = (GoogleAPICallError, RetryError, GoogleAuthError, requests.RequestException, ParseError)

_TIMEOUT_S = 60.0  # of one attempt
_TRANSIENT = (
    TooManyRequests,
    InternalServerError,
    BadGateway,
    ServiceUnavailable,
    GatewayTimeout,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    ParseError,  # an answer that was cut off, or sent by a proxy
)
_BUSY = {"rateLimitExceeded", "userRateLimitExceeded"}
#: Reasons for a lack of capacity. They appear in operations, and also with an immediate 503, which then is not a lost
#: answer (Compute Engine docs, "Troubleshooting resource availability").
OUT_OF_STOCK = frozenset(
    {
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "RESOURCE_POOL_EXHAUSTED",
        "RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "GPU_STOCKOUT",
        "STOCKOUT",
        "insufficientCapacity",
    }
)
_QUOTA_USED_UP = frozenset({"QUOTA_EXCEEDED", "quotaExceeded", "limitExceeded"})
_NOT_READY = "resourceNotReady"  # e.g. deletion of a machine that is still being created
_REMEDIES = {
    401: "check the key in the GCP Credentials block",
    403: "enable the Compute Engine API, and grant roles/compute.viewer in the project",
    404: "check the project's id",
    429: "the project's request quota is used up; try later",
}


@dataclass(frozen=True)
class Endpoints:
    """Addresses of Google's services."""

    compute: str
    billing: str
    secrets: str
    iam: str
    projects: str


class Clients:
    """SDK clients of one block. Raises MarketUnavailable if there are no credentials or no project."""

    def __init__(self, credentials: GcpCredentials, project: str | None, endpoints: Endpoints) -> None:
        try:
            self._credentials = credentials.get_credentials_from_service_account()
        except (GoogleAuthError, ValueError) as error:
            raise MarketUnavailable(
                f"gcp: the credentials cannot be used ({type(error).__name__}); "
                "paste a service account's key into the GCP Credentials block"
            ) from error
        found = project or credentials.project
        if not found:
            raise MarketUnavailable("gcp: no project is set; fill in 'Project' in the GCP Cloud block")
        self.project: str = found
        self.endpoints = endpoints

    @staticmethod
    def call(patience_s: float, again: Callable[[Exception], bool] | None = None) -> dict[str, Any]:
        """Return the retry and timeout arguments of an SDK call. The SDK's default retries reads for ten minutes.

        again: decides which errors to retry; default is `is_transient`.
        """
        return {
            "retry": Retry(predicate=again or is_transient, initial=0.5, maximum=8.0, timeout=patience_s),
            "timeout": _TIMEOUT_S,
        }

    @cached_property
    def machine_types(self) -> Any:
        from google.cloud.compute_v1 import MachineTypesClient

        return MachineTypesClient(**self._options())

    @cached_property
    def advice(self) -> Any:
        from google.cloud.compute_v1 import AdviceClient

        return AdviceClient(**self._options())

    @cached_property
    def instances(self) -> Any:
        """Do not use its `insert` and `delete`: their operations are polled at Google's real endpoint in any case."""
        from google.cloud.compute_v1 import InstancesClient

        return InstancesClient(**self._options())

    @cached_property
    def zone_operations(self) -> Any:
        from google.cloud.compute_v1 import ZoneOperationsClient

        return ZoneOperationsClient(**self._options())

    @cached_property
    def disks(self) -> Any:
        from google.cloud.compute_v1 import DisksClient

        return DisksClient(**self._options())

    @cached_property
    def regions(self) -> Any:
        from google.cloud.compute_v1 import RegionsClient

        return RegionsClient(**self._options())

    @cached_property
    def projects(self) -> Any:
        from google.cloud.compute_v1 import ProjectsClient

        return ProjectsClient(**self._options())

    @cached_property
    def networks(self) -> Any:
        from google.cloud.compute_v1 import NetworksClient

        return NetworksClient(**self._options())

    @cached_property
    def images(self) -> Any:
        from google.cloud.compute_v1 import ImagesClient

        return ImagesClient(**self._options())

    @cached_property
    def secrets(self) -> Any:
        from google.cloud.secretmanager import SecretManagerServiceClient

        return SecretManagerServiceClient(
            transport="rest",
            credentials=self._token_for("https://secretmanager.googleapis.com/"),
            client_options=ClientOptions(api_endpoint=self.endpoints.secrets),
        )

    def billing(self) -> requests.Session:
        """Return a session for the price list that signs its requests and retries them like `blocks.http`."""
        return self.session("https://cloudbilling.googleapis.com/")

    def session(self, audience: str) -> requests.Session:
        """Return a session that signs its requests for one service and retries GET requests."""
        signing: requests.Session = AuthorizedSession(  # type: ignore[no-untyped-call]
            self._token_for(audience)
        )
        for start, adapter in http.session(at_most=1).adapters.items():
            signing.mount(start, adapter)
        return signing

    def _options(self) -> dict[str, Any]:
        return {
            "credentials": self._token_for("https://compute.googleapis.com/"),
            "client_options": ClientOptions(api_endpoint=self.endpoints.compute),
        }

    def _token_for(self, audience: str) -> Any:
        """Return credentials for one service. With a service account's key, a token is signed locally without a call
        (Google's AIP-4111). It is valid for an hour, longer than any read takes."""
        if not isinstance(self._credentials, service_account.Credentials):
            return self._credentials
        signed = jwt.Credentials.from_signing_credentials(self._credentials, audience)  # type: ignore[no-untyped-call]
        signed.refresh(None)
        return oauth2.Credentials(token=signed.token.decode())  # type: ignore[no-untyped-call]


def why(error: Exception) -> str:
    """Describe one of `FAILURES` in a line, without the service's own message, which quotes the request."""
    if isinstance(error, RetryError):
        cause = error.cause
        return f"{why(cause) if isinstance(cause, FAILURES) else 'no answer'}, also after retries"
    if isinstance(error, GoogleAPICallError):
        code = int(error.code or 0)
        reason = "".join(f" {one}" for one in reasons(error)[:1])
        remedy = f"; {_REMEDIES[code]}" if code in _REMEDIES else ""
        return f"Compute Engine answered {code}{reason}{remedy}"
    if isinstance(error, GoogleAuthError):
        return f"the credentials are refused ({type(error).__name__}); check the GCP Credentials block"
    if isinstance(error, ParseError):
        return "the answer is not JSON of Compute Engine"
    return f"the endpoint cannot be reached: {type(error).__name__}"


def reasons(error: GoogleAPICallError) -> list[str]:
    """Return Google's reasons for an error, e.g. ['quotaExceeded']; Secret Manager gives none."""
    return [str(one["reason"]) for one in error.errors if isinstance(one, dict) and one.get("reason")]


def is_throttled(error: Exception) -> bool:
    """Whether the error means too many requests. Compute Engine has also used 403 for this."""
    return isinstance(error, TooManyRequests) or (isinstance(error, Forbidden) and bool(_BUSY & set(reasons(error))))


def is_lost(error: Exception) -> bool:
    """Whether the call may have taken effect: no answer, or one without a reason for a refusal."""
    if isinstance(error, GoogleAPICallError) and (OUT_OF_STOCK | _QUOTA_USED_UP) & set(reasons(error)):
        return False
    return isinstance(error, _TRANSIENT) and not isinstance(error, TooManyRequests)


def in_doubt(error: Exception) -> bool:
    """Whether the call may have taken effect after all retries."""
    return is_lost(error.cause or error) if isinstance(error, RetryError) else is_lost(error)


def is_transient(error: Exception) -> bool:
    """Whether a retry may succeed."""
    return is_lost(error) or is_throttled(error) or (isinstance(error, BadRequest) and _NOT_READY in reasons(error))
