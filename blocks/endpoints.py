"""Addresses of services: https, and plain http to this computer alone, past any proxy."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_NO_PROXY = ("no_proxy", "NO_PROXY")


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """What an environment needs so that no proxy of its own is asked for this computer; nothing if it names none.

    In both spellings: Python takes the lower one first (urllib.request.getproxies_environment), Go, of which rclone is
    made, the upper one (golang.org/x/net/http/httpproxy, FromEnvironment).
    """
    if not any(value and name.lower() in _PROXIES for name, value in environment.items()):
        return {}
    told = ",".join(environment.get(name, "") for name in _NO_PROXY).split(",")
    hosts = dict.fromkeys(host for one in (*told, *_LOOPBACK) if (host := one.strip()))
    return dict.fromkeys(_NO_PROXY, "*" if "*" in hosts else ",".join(hosts))


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
