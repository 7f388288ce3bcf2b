"""Validation of service addresses: https, or plain http to this computer only, and proxies bypassed for loopback."""

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
    """Return the variables that exclude loopback addresses from an environment's proxies; {} if it has no proxy.

    Both spellings are set: Python prefers the lower-case one (urllib.request.getproxies_environment), Go, in which
    rclone is written, the upper-case one (golang.org/x/net/http/httpproxy, FromEnvironment).
    """
    if not any(value and name.lower() in _PROXIES for name, value in environment.items()):
        return {}
    listed = ",".join(environment.get(name, "") for name in _NO_PROXY).split(",")
    hosts = dict.fromkeys(host for one in (*listed, *_LOOPBACK) if (host := one.strip()))
    return dict.fromkeys(_NO_PROXY, "*" if "*" in hosts else ",".join(hosts))


def is_loopback(url: str) -> bool:
    """Whether the address is on this computer, where no other can intercept the traffic."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked(url: str) -> str:
    """Return the address without a trailing slash. Raises ValueError if it is not an http(s) address, or would send
    secrets unencrypted over a network."""
    parts = urlsplit(url)  # ignores line breaks, so they are checked below
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError(f"'{url}' is not a valid address: write https://host, or http://127.0.0.1:port")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError(f"'{url}' is plain http to another computer: use https")
    return url.rstrip("/")


Endpoint = Annotated[str, AfterValidator(checked)]
