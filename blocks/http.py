"""HTTP access to public price lists, with a limited number of retries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.util import Retry

from spotwave.blocks.concurrent import Unavailable

T = TypeVar("T")

_TIMEOUT_S = (5.0, 60.0)  # to connect; between two bytes
_ATTEMPTS = 5
_LONGEST_WAIT_S = 60
_CONNECTS = 2  # a server that refuses two connections is down
_WHOLE_ATTEMPTS = 3
_BACKOFF_S = 0.5  # 0.5, 1, 2, 4 s plus as much again at random; a Retry-After header takes precedence


class _Session(requests.Session):
    """Reads proxies and certificates from the environment once per host instead of once per request."""

    def __init__(self) -> None:
        super().__init__()
        self._of_host: dict[tuple[str, bool], Any] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        key = (urlsplit(url).netloc, bool(stream))
        if proxies or verify is not None or cert is not None:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        if key not in self._of_host:
            self._of_host[key] = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return dict(self._of_host[key])


def session(at_most: int) -> requests.Session:
    """Return a session for `at_most` threads that retries throttled, failed and interrupted requests."""
    found = _Session()
    again = Retry(
        total=_ATTEMPTS,
        connect=_CONNECTS,
        retry_after_max=_LONGEST_WAIT_S,  # otherwise a server could demand a wait of six hours
        backoff_factor=_BACKOFF_S,
        backoff_jitter=_BACKOFF_S,
        backoff_max=30,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET",),
        raise_on_status=False,
    )
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=at_most, max_retries=again)
    found.mount("https://", adapter)
    found.mount("http://", adapter)
    return found


class Garbled(Exception):
    """A response was cut off or has the wrong format; a retry may help."""


def get_json(
    http: requests.Session,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Return the JSON document at `url`. Raises Unavailable with the status or the reason, without the parameters."""

    def ask() -> Any:
        try:
            return json.loads(get_bytes(http, url, params, headers))
        except ValueError as error:
            raise Garbled("it is not JSON") from error

    return patiently(ask, _place(url))


def patiently(ask: Callable[[], T], what: str) -> T:
    """Call `ask` and retry a few times if it raises Garbled. Raises Unavailable."""
    again = retry(
        retry=retry_if_exception_type(Garbled),
        stop=stop_after_attempt(_WHOLE_ATTEMPTS),
        wait=wait_random_exponential(multiplier=_BACKOFF_S, max=4),
        reraise=True,
    )
    try:
        return again(ask)()
    except Garbled as error:
        raise Unavailable(
            f"{what} gave no complete answer in {_WHOLE_ATTEMPTS} attempts: {error}; try again later"
        ) from error


def get_bytes(
    http: requests.Session,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    what: str | None = None,
) -> bytes:
    """Return the body at `url` in one request. Raises Garbled if it is cut off, Unavailable for any other failure.

    what: the service's name for messages; default is the address without its query.
    """
    who = what or _place(url)
    try:
        with http.get(url, params=params, headers=headers, timeout=_TIMEOUT_S, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                raise Unavailable(f"{who} answered {answer.status_code} {answer.reason}; try again later")
            # Read in one call: `content` joins pieces of 10 kB, which takes twice the CPU time.
            return bytes(answer.raw.read(decode_content=True))
    except (ProtocolError, requests.exceptions.ChunkedEncodingError) as error:
        raise Garbled("the connection was cut") from error  # within the body, where urllib3 does not retry
    except requests.RequestException as error:
        raise Unavailable(f"{who} cannot be reached: {type(error).__name__}; check the network") from error
    except HTTPError as error:
        raise Unavailable(f"{who} cannot be read: {type(error).__name__}; try again later") from error


def _place(url: str) -> str:
    """Return the address without its query, which may contain keys."""
    return url.partition("?")[0]
