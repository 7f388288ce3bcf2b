"""HTTP proxies from the environment: bypassed for this computer, and rejected with a message if unusable."""

from __future__ import annotations

from collections.abc import Mapping

from spotwave.blocks.endpoints import past_proxies
from spotwave.deployments.unavailable import Unavailable

_FOR_ONE_SCHEME = ("http_proxy", "https_proxy")
_FOR_ALL = "all_proxy"


def usable(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with which Spotwave's processes reach both this computer and the internet.

    None of the clouds' SDKs supports SOCKS, and Prefect's client (httpx 0.28) raises an exception if a SOCKS proxy is
    set at all. Desktops set ALL_PROXY to SOCKS together with HTTP proxies; in that case ALL_PROXY is removed.

    Raises Unavailable for a proxy that is not an HTTP proxy.
    """
    found = dict(environment)
    both = all(any(name.lower() == wanted and value for name, value in found.items()) for wanted in _FOR_ONE_SCHEME)
    for name, value in environment.items():
        if name.lower() not in (*_FOR_ONE_SCHEME, _FOR_ALL) or not value:
            continue
        scheme, separator, _ = value.partition("://")
        if not separator or scheme.lower() in ("http", "https"):
            continue
        if name.lower() == _FOR_ALL and both:
            del found[name]
            continue
        # Only the scheme is quoted: an address may contain a password.
        raise Unavailable(
            f"{name}: '{scheme[:20]}' proxies are not supported. Give the address of an HTTP proxy "
            f"(http://host:port), or unset it for this command: env -u {name} spotwave ..."
        )
    return found | past_proxies(found)
