"""Public price lists over plain requests: patient with a busy server, never for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.util import Retry

from blocks.gather import Unavailable

_TIMEOUT_S = (5.0, 60.0)  # to connect; between two bytes
_ATTEMPTS = 5
_BACKOFF_S = 0.5  # 0.5, 1, 2, 4 s and as much again at random; a Retry-After of the server counts instead


def session(at_most: int) -> requests.Session:
    """A session for `at_most` threads that repeats what was refused as too much, failed on the server or was cut."""
    found = requests.Session()
    again = Retry(
        total=_ATTEMPTS,
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


class _Cut(Exception):
    """The answer broke off, or is no JSON."""


def get_json(
    http: requests.Session,
    url: str,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON document at `url`. Raises Unavailable with the status or the reason; parameters are never told."""
    try:
        return _fetch(http, url, params, headers)
    except _Cut as error:
        raise Unavailable(f"{_place(url)} gave no whole answer in 3 attempts: {error}") from error


@retry(
    retry=retry_if_exception_type(_Cut),
    stop=stop_after_attempt(3),
    wait=wait_random_exponential(multiplier=_BACKOFF_S, max=5),
    reraise=True,
)
def _fetch(
    http: requests.Session, url: str, params: Mapping[str, str] | None, headers: Mapping[str, str] | None
) -> Any:
    try:
        answer = http.get(url, params=params, headers=headers, timeout=_TIMEOUT_S)
    except requests.exceptions.ChunkedEncodingError as error:  # the body broke off, which urllib3 does not repeat
        raise _Cut("the connection was cut") from error
    except requests.RequestException as error:
        raise Unavailable(f"{_place(url)} cannot be reached: {type(error).__name__}") from error
    if answer.status_code != requests.codes.ok:
        raise Unavailable(f"{_place(url)} answered {answer.status_code} {answer.reason}")
    try:
        return answer.json()
    except requests.exceptions.JSONDecodeError as error:
        raise _Cut("it is no JSON") from error


def _place(url: str) -> str:
    """The address without its query, where keys may stand."""
    return url.partition("?")[0]
