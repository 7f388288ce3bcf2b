"""Lists that come in pages: each page asked for again when it was garbled, and followed no further than its host."""

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

_MOST = 200  #: pages of one list; more is a list that goes in circles


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


def followed(first: str, endpoint: str, read: Callable[[str], tuple[T, str | None]]) -> Iterator[T]:
    """Every page from the address `first` on, along the links as they are given.

    Raises Unavailable, also for a link to another host: nothing of ours, least of all a token, goes there.
    """
    address: str | None = first
    for number in count(1):
        if address is None:
            return
        page, address = read(address)
        yield page
        if address is not None and not same_host(address, endpoint):
            raise Unavailable(
                f"{endpoint} leads on to another host, {urlsplit(address).netloc}; set the endpoint of the Azure Cloud"
                " block to the one that answers"
            )
        if number >= _MOST:
            raise Unavailable(f"{endpoint} leads from page to page without end; try again later")


def all_pages(first: str, endpoint: str, read: Callable[[str], tuple[pl.DataFrame, str | None]]) -> pl.DataFrame:
    """The rows of `followed`. Raises Unavailable."""
    return pl.concat(list(followed(first, endpoint, read)))


def same_host(link: str, endpoint: str) -> bool:
    """Whether both are one server: https://prices.azure.com:443/... is the one of https://prices.azure.com."""
    try:
        return _host(link) == _host(endpoint)
    except ValueError:  # no port is called that
        return False


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
