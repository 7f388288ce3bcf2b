"""Public price lists over plain requests: patient with a busy server, never for ever."""

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
_CONNECTS = 2  # whoever refuses a connection twice is not there
_WHOLE_ATTEMPTS = 3
_BACKOFF_S = 0.5  # 0.5, 1, 2, 4 s and as much again at random; a Retry-After of the server counts instead


class _Session(requests.Session):
    """Reads the environment's proxies and certificates once for each host, not for each of a thousand calls."""

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
    """A session for `at_most` threads that repeats what was refused as too much, failed on the server or was cut."""
    found = _Session()
    again = Retry(
        total=_ATTEMPTS,
        connect=_CONNECTS,
        retry_after_max=_LONGEST_WAIT_S,  # else a server may ask for six hours
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
    """An answer broke off, or is not what was asked for; asking again may help."""


def get_json(
    http: requests.Session,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON document at `url`. Raises Unavailable with the status or the reason; parameters are never told."""

    def ask() -> Any:
        try:
            return json.loads(get_bytes(http, url, params, headers))
        except ValueError as error:
            raise Garbled("it is no JSON") from error

    return patiently(ask, _place(url))


def patiently(ask: Callable[[], T], what: str) -> T:
    """The answer of `ask`, which may raise Garbled a few times. Raises Unavailable."""
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
            f"{what} gave no whole answer in {_WHOLE_ATTEMPTS} attempts: {error}; try again later"
        ) from error


def get_bytes(
    http: requests.Session,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    what: str | None = None,
) -> bytes:
    """The body at `url`, asked for once. Raises Garbled if it breaks off, Unavailable for anything else.

    what: the service's name for messages; the address without its query if not given.
    """
    who = what or _place(url)
    try:
        with http.get(url, params=params, headers=headers, timeout=_TIMEOUT_S, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                raise Unavailable(f"{who} answered {answer.status_code} {answer.reason}; try again later")
            # In one piece: `content` puts it together from pieces of 10 kB, at twice the CPU.
            return bytes(answer.raw.read(decode_content=True))
    except (ProtocolError, requests.exceptions.ChunkedEncodingError) as error:
        raise Garbled("the connection was cut") from error  # in the midst of the body, which urllib3 does not repeat
    except requests.RequestException as error:
        raise Unavailable(f"{who} cannot be reached: {type(error).__name__}; check the network") from error
    except HTTPError as error:
        raise Unavailable(f"{who} cannot be read: {type(error).__name__}; try again later") from error


def _place(url: str) -> str:
    """The address without its query, where keys may stand."""
    return url.partition("?")[0]
