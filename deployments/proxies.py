"""The proxies that the environment names: none is asked for this computer, and one that cannot be used is named."""

from __future__ import annotations

from collections.abc import Mapping

from spotwave.blocks.endpoints import past_proxies
from spotwave.deployments.unavailable import Unavailable

_FOR_ONE_SCHEME = ("http_proxy", "https_proxy")
_FOR_ALL = "all_proxy"


def usable(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with which our processes reach both this computer and the world.

    SOCKS is spoken by none of the clouds' SDKs, and Prefect's client (httpx 0.28) ends with an exception at the mere
    sight of it, whatever the address. Desktops set it as ALL_PROXY beside HTTP proxies; there it is left out.

    Raises Unavailable for a proxy that is no HTTP proxy.
    """
    found = dict(environment)
    both = all(any(name.lower() == wanted and value for name, value in found.items()) for wanted in _FOR_ONE_SCHEME)
    for name, value in environment.items():
        if name.lower() not in (*_FOR_ONE_SCHEME, _FOR_ALL) or not value:
            continue
        scheme, told, _ = value.partition("://")
        if not told or scheme.lower() in ("http", "https"):
            continue
        if name.lower() == _FOR_ALL and both:
            del found[name]
            continue
        # The scheme alone: an address may hold a password.
        raise Unavailable(
            f"{name}: '{scheme[:20]}' is no kind of proxy that can be used here. Give the address of an HTTP proxy "
            f"(http://host:port), or unset it for this command: env -u {name} spotwave ..."
        )
    return found | past_proxies(found)
