"""Paged lists: garbled pages are requested again, and links to other hosts are rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeVar
from urllib.parse import urlsplit

import polars as pl
from polars._typing import SchemaDict
from polars.exceptions import PolarsError

from spotwave.blocks.concurrent import Unavailable
from spotwave.blocks.http import Garbled

T = TypeVar("T")

_MOST = 200  #: pages of one list; more means that the links form a circle


def listed(body: bytes, items: str, link: str, schema: SchemaDict) -> tuple[pl.DataFrame, str | None]:
    """Parse a page of JSON into (its rows, address of the next page). Only the fields of `schema` are read.

    Uses polars: a third of the CPU time of Python objects, and without the GIL. Raises Garbled.
    """
    try:
        page = pl.read_json(body, schema={items: pl.List(pl.Struct(schema)), link: pl.String})
    except PolarsError as error:
        raise Garbled("it is not a list in JSON") from error
    if page.height != 1 or page[items][0] is None:
        raise Garbled(f"it has no '{items}'")
    return pl.DataFrame({items: page[items].explode()}).drop_nulls().unnest(items), page[link][0] or None


def followed(first: str, endpoint: str, read: Callable[[str], tuple[T, str | None]]) -> Iterator[T]:
    """Yield every page from the address `first` on, following the links as given.

    Raises Unavailable, also for a link to another host: no request, and above all no token, is sent there.
    """
    address: str | None = first
    for number in count(1):
        if address is None:
            return
        page, address = read(address)
        yield page
        if address is not None and not same_host(address, endpoint):
            raise Unavailable(
                f"{endpoint} links to another host, {urlsplit(address).netloc}; set the endpoint of the Azure Cloud"
                " block to the host that answers"
            )
        if number >= _MOST:
            raise Unavailable(f"{endpoint} has too many pages, its links may form a circle; try again later")


def all_pages(first: str, endpoint: str, read: Callable[[str], tuple[pl.DataFrame, str | None]]) -> pl.DataFrame:
    """Return the rows of `followed` as one frame. Raises Unavailable."""
    return pl.concat(list(followed(first, endpoint, read)))


def same_host(link: str, endpoint: str) -> bool:
    """Whether both are on one server: https://prices.azure.com:443/... is the same as https://prices.azure.com."""
    try:
        return _host(link) == _host(endpoint)
    except ValueError:  # invalid port
        return False


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
