"""Addresses of services: https, and plain http to this computer alone."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def is_loopback(url: str) -> bool:
    """Whether the address is of this computer, which no other can listen in on."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked(url: str) -> str:
    """The address without a slash at its end. Raises ValueError for what is no http address, or would carry secrets
    over a network in the clear."""
    parts = urlsplit(url)  # which passes over line breaks
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError(f"'{url}' is no address: write https://host, or http://127.0.0.1:port")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError(f"'{url}' is plain http to another computer: use https")
    return url.rstrip("/")


Endpoint = Annotated[str, AfterValidator(checked)]
