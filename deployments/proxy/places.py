"""Limits on concurrent connections, and on the time until a connection must be authenticated.

Each connection has a *place*. It is *unknown* from its first packet until a token with a valid signature was read on
it. Unknown connections have a separate pool and a time limit of seconds, whatever they do meanwhile: a TLS handshake,
an incomplete header or body, a websocket without a first message, an unread response. If the pool is full, the oldest
connection is closed. Known connections are counted per attempt, so that a compromised machine can only use up its own
places.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

log = logging.getLogger(__name__)

PLACE = "place"  #: key of the connection's place in the state of an ASGI scope


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds (`*_s`) and maximum numbers of connections."""

    unknown_s: float = 15.0  #: from the first packet until authentication, handshakes and headers included
    request_s: float = 120.0  #: for a known connection: receiving the body, the API's answer, and sending it
    idle_s: float = 20.0  #: for a known connection: until the next request's headers are complete
    most_unknown: int = 256
    most_of_address: int = 64  #: unknown ones per address; not for loopback, where a reverse proxy may connect from
    most_of_attempt: int = 24  #: a machine has about six
    most_known: int = 2_000


class Place:
    """The place of one connection, which is closed at the end of its latest time limit."""

    def __init__(self, places: Places, transport: asyncio.Transport) -> None:
        self.address = _counted_address(transport)
        self.attempt: str | None = None  #: set when the connection is known
        self.on_known: Callable[[], None] = lambda: None
        self._places = places
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    @property
    def limits(self) -> Limits:
        return self._places.limits

    def within(self, seconds: float | None) -> None:
        """Set the time limit, counted from now; None: no limit."""
        if self._timer is not None:
            self._timer.cancel()
        if self._gone:
            return
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds, self.end)

    def end(self) -> None:
        """Abort the connection: with a graceful close, a client that does not read would keep it open."""
        self.free()
        self._transport.abort()

    def free(self) -> None:
        """Free the place of a connection that has ended. Safe to repeat."""
        self.within(None)
        self._gone = True
        self._places.free(self)

    def known(self, attempt: str) -> bool:
        """Mark the connection as known: a request with this attempt's token starts.

        Returns False if the attempt has too many connections.
        """
        if self._gone or (self.attempt is None and not self._places.keep(self, attempt)):
            return False
        self.within(self.limits.request_s)
        self.on_known()
        return True

    def answered(self) -> None:
        if self.attempt is not None:
            self.within(self.limits.idle_s)


class Places:
    """All places of one proxy."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._unknown: dict[str, dict[Place, None]] = {}  # by address, the oldest first
        self._known: Counter[str] = Counter()
        self._held: set[Place] = set()

    def take(self, transport: asyncio.Transport) -> Place:
        """Return a place for a new connection; if the pool is full, close the oldest unknown connection."""
        place = Place(self, transport)
        of_address = len(self._unknown.get(place.address, ()))
        if of_address >= self.limits.most_of_address and not _is_loopback(place.address):
            self._drop(place.address)
        elif self.unknown >= self.limits.most_unknown:
            # From the address with the most connections, so that a flood does not push out other addresses.
            self._drop(max(self._unknown, key=lambda address: len(self._unknown[address])))
        self._unknown.setdefault(place.address, {})[place] = None
        place.within(self.limits.unknown_s)
        return place

    @property
    def unknown(self) -> int:
        return sum(len(places) for places in self._unknown.values())

    def keep(self, place: Place, attempt: str) -> bool:
        """Count the connection as this attempt's; return False if the attempt or the proxy has too many."""
        if self._known[attempt] >= self.limits.most_of_attempt or self._known.total() >= self.limits.most_known:
            return False
        self.free(place)
        place.attempt = attempt
        self._known[attempt] += 1
        self._held.add(place)
        return True

    def free(self, place: Place) -> None:
        of_address = self._unknown.get(place.address, {})
        if of_address.pop(place, place) is None and not of_address:
            del self._unknown[place.address]
        if place in self._held and place.attempt is not None:
            self._held.discard(place)
            self._known[place.attempt] -= 1
            if not self._known[place.attempt]:
                del self._known[place.attempt]

    def close(self) -> None:
        """Close all unknown connections; the server ends the known ones."""
        for place in [place for places in self._unknown.values() for place in places]:
            place.end()

    def _drop(self, address: str) -> None:
        log.warning("too many connections without a token: closed the oldest one from %s", address)
        next(iter(self._unknown[address])).end()


def place_of(scope: MutableMapping[str, Any]) -> Place:
    """Return the place of a request's connection."""
    place = scope["state"][PLACE]
    assert isinstance(place, Place)
    return place


def _counted_address(transport: asyncio.Transport) -> str:
    """Return the peer's address; for IPv6 its /64 network, since one host can use all of it.

    X-Forwarded-For is ignored, because any client can set it.
    """
    peer = transport.get_extra_info("peername")
    if not peer:  # already disconnected
        return ""
    address = ip_address(peer[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None and not address.is_loopback:
        return str(ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
