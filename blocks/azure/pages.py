"""Lists that come in pages: each page asked for again when it was garbled, and followed no further than its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import polars as pl
from polars._typing import SchemaDict
from polars.exceptions import PolarsError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from blocks.gather import Unavailable

T = TypeVar("T")

_ATTEMPTS = 3
_MOST = 200  #: pages of one list; more is a list that goes in circles


class Garbled(Exception):
    """An answer broke off, or is not what was asked for; asking again may help."""


def patiently(ask: Callable[[], T], what: str) -> T:
    """The answer of `ask`, which may raise Garbled a few times. Raises Unavailable."""
    again = retry(
        retry=retry_if_exception_type(Garbled),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.25, max=4),
        reraise=True,
    )
    try:
        return again(ask)()
    except Garbled as error:
        raise Unavailable(f"{what} gave no whole answer in {_ATTEMPTS} attempts: {error}; try again later") from error


def listed(body: bytes, items: str, link: str, schema: SchemaDict) -> tuple[pl.DataFrame, str | None]:
    """A page of JSON as (its rows, where the next page is). Only the fields of `schema` are read.

    By polars: a third of the CPU of Python's objects, and without its lock. Raises Garbled.
    """
    try:
        page = pl.read_json(body, schema={items: pl.List(pl.Struct(schema)), link: pl.String})
    except PolarsError as error:
        raise Garbled("it is no list in JSON") from error
    if page.height != 1 or page[items][0] is None:
        raise Garbled(f"it has no '{items}'")
    return pl.DataFrame({items: page[items].explode()}).drop_nulls().unnest(items), page[link][0] or None


def all_pages(first: str, endpoint: str, read: Callable[[str], tuple[pl.DataFrame, str | None]]) -> pl.DataFrame:
    """Every page from the address `first` on, along the links as they are given.

    Raises Unavailable, also for a link to another host: nothing of ours, least of all a token, goes there.
    """
    found: list[pl.DataFrame] = []
    address: str | None = first
    while address is not None:
        rows, address = read(address)
        found.append(rows)
        if address is not None and not same_host(address, endpoint):
            raise Unavailable(
                f"{endpoint} leads on to another host, {urlsplit(address).netloc}; set the endpoint of the Azure Cloud"
                " block to the one that answers"
            )
        if len(found) >= _MOST:
            raise Unavailable(f"{endpoint} leads from page to page without end; try again later")
    return pl.concat(found)


def same_host(link: str, endpoint: str) -> bool:
    """Whether both are one server: https://prices.azure.com:443/... is the one of https://prices.azure.com."""
    try:
        return _host(link) == _host(endpoint)
    except ValueError:  # no port is called that
        return False


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
