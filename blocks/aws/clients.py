"""AWS clients of all regions from one set of credentials, with bounded concurrency, timeouts and readable errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from prefect_aws import AwsCredentials
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from spotwave.blocks.aws.fast_botocore import Parsers, loader
from spotwave.blocks.aws.refusals import refusal, typed
from spotwave.blocks.concurrent import Unavailable
from spotwave.blocks.errors import LaunchRefused, MarketUnavailable, Throttled

AT_MOST = 24  #: concurrent calls, over all regions and services
HOME = "us-east-1"  #: the region of the Price List API, and the default for calls that any region can answer
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})

_CHECK_KEYS = "check the keys of the AWS Credentials block, and that the region is enabled for the account"
_WAIT = "too many calls; try again in a few minutes"
_REMEDIES = {
    "AuthFailure": _CHECK_KEYS,
    "InvalidClientTokenId": _CHECK_KEYS,
    "SignatureDoesNotMatch": _CHECK_KEYS,
    "UnrecognizedClientException": _CHECK_KEYS,
    "OptInRequired": "enable the region for the account, or leave it out",
    "ExpiredToken": "renew the session token of the AWS Credentials block",
    "ExpiredTokenException": "renew the session token of the AWS Credentials block",
    "RequestExpired": "set the clock of this computer",
    "RequestLimitExceeded": _WAIT,
    "Throttling": _WAIT,
    "ThrottlingException": _WAIT,
}
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_GIVE_KEYS = "fill in the AWS Credentials block, or run `aws configure`"


class _Broken(Exception):
    """A response that cannot be parsed."""


class Clients:
    """One botocore session, with a client per service and region created on first use, and a limit on calls."""

    def __init__(self, credentials: AwsCredentials, at_most: int = AT_MOST, brisk: bool = False) -> None:
        """Raises MarketUnavailable if there are no credentials, or if they cannot be read.

        brisk: shorter timeouts and fewer retries, for calls that may fail without harm.
        """
        self._session = _session(credentials)
        self._parameters = credentials.aws_client_parameters.get_params_override()
        patience = Config(
            # Standard mode waits up to 1, 2, 4, 8 s at random, and gives up early if a whole service is down.
            retries={"mode": "standard", "total_max_attempts": 2 if brisk else 5},
            connect_timeout=5,
            read_timeout=10 if brisk else 30,
            max_pool_connections=at_most,
        )
        self._parameters["config"] = patience.merge(self._parameters.get("config", Config()))
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._lock = threading.Lock()  # sessions are not thread-safe, clients are
        self._turns = threading.BoundedSemaphore(at_most)
        self.home: str = credentials.region_name or self._session.get_config_variable("region") or HOME

    def rows(self, service: str, region: str, operation: str, member: str, **parameters: Any) -> Iterator[Any]:
        """Yield the list `member` of all pages of an answer, one call per page. Raises Unavailable."""
        with _readable_errors(service, operation):
            while True:
                answer = self._answer(service, region, operation, member, parameters)
                yield from answer[member]
                token = answer.get("NextToken")
                if not token:
                    return
                if token == parameters.get("NextToken"):
                    raise Unavailable(f"{operation} failed: it returns the same page again")
                parameters["NextToken"] = token

    def listed(self, service: str, region: str, operation: str, member: str, **parameters: Any) -> list[Any]:
        """Return the list `member` of all pages of an answer. Raises a LaunchRefused."""
        try:
            return list(self.rows(service, region, operation, member, **parameters))
        except Unavailable as error:
            if isinstance(error.__cause__, ClientError):
                raise _repeated(refusal(error.__cause__, region)) from error
            raise Throttled(f"aws {region}: {error}", repeated=True) from error

    def call(self, service: str, region: str, operation: str, once: bool = False, **parameters: Any) -> dict[str, Any]:
        """Make one call and return its answer. Raises a LaunchRefused.

        once: without botocore's own retries. These treat a lack of capacity (a 500) as a transient error and retry it
        for up to 12 s.
        """
        client = self._client(service, region, once)
        try:
            with typed(region, operation), self._turns:
                answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except Throttled as refused:
            refused.repeated = not once
            raise
        return answer

    def address(self, service: str, region: str) -> str:
        """Return the endpoint of a service, e.g. https://secretsmanager.us-east-1.amazonaws.com."""
        return str(self._client(service, region).meta.endpoint_url)

    @retry(
        # botocore retries refused and unanswered calls, but accepts a truncated body.
        retry=retry_if_exception_type(_Broken),
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(multiplier=0.5, max=5),
        reraise=True,
    )
    def _answer(
        self, service: str, region: str, operation: str, member: str, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        client = self._client(service, region)
        try:
            with self._turns:
                answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except ResponseParserError as error:
            raise _Broken from error
        if member not in answer:  # botocore returns a body that cannot be parsed as the message of an error
            raise _Broken
        return answer

    def _client(self, service: str, region: str, once: bool = False) -> Any:
        with self._lock:
            found = self._clients.get((service, region, once))
            if found is None:
                config = self._parameters["config"]
                parameters = {**self._parameters, "config": config.merge(_ONCE) if once else config}
                found = self._session.create_client(service, region_name=region, **parameters)
                self._clients[service, region, once] = found
            return found


def _session(credentials: AwsCredentials) -> Any:
    """Return a session with the block's credentials and the faster loader and parsers of fast_botocore."""
    try:
        found = credentials.get_boto3_session().get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
        session = Session(profile=credentials.profile_name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise MarketUnavailable(f"aws: the role cannot be assumed: {code}; {_remedy('sts', error)}") from error
    except BotoCoreError as error:
        raise MarketUnavailable(f"aws: no credentials: {type(error).__name__}; {_GIVE_KEYS}") from error
    if frozen is None:
        raise MarketUnavailable(f"aws: no credentials; {_GIVE_KEYS}")
    session.set_credentials(frozen.access_key, frozen.secret_key, frozen.token)
    session.register_component("data_loader", loader(session.get_config_variable("data_path")))
    parsers = session.get_component("response_parser_factory")
    session.register_component("response_parser_factory", Parsers(parsers))
    return session


def _repeated(refused: LaunchRefused) -> LaunchRefused:
    """Mark a refusal as already retried: botocore gives up only after five attempts."""
    if isinstance(refused, Throttled):
        refused.repeated = True
    return refused


@contextmanager
def _readable_errors(service: str, operation: str) -> Iterator[None]:
    """Turn the SDK's errors into one line: what failed, the code, the remedy."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise Unavailable(f"{error.operation_name} failed: {code}; {_remedy(service, error)}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{operation} failed: {type(error).__name__}; check the network and try again") from error
    except _Broken as error:
        raise Unavailable(f"{operation} failed: its answer cannot be read; try again later") from error


def _remedy(service: str, error: ClientError) -> str:
    code = error.response["Error"]["Code"]
    if code in _DENIED:
        return f"allow {service}:{error.operation_name} to the credentials"
    return _REMEDIES.get(code, "try again later")
