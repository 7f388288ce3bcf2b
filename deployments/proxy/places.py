"""Who may be connected at once, and how long before it has said who it is.

A connection is *unknown* from its first packet until a token that we signed was read on it. Unknown ones have a pool of
their own and seconds to live, whatever they do meanwhile: a TLS handshake, half a header, half a body, a websocket
without a first word, an answer that is not read. Where the pool is full, the oldest goes. Those that are known are
counted by attempt, so that a stolen machine takes the places of nobody but itself.
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

PLACE = "place"  #: where in the state of an ASGI scope the connection's place is found


@dataclass(frozen=True)
class Limits:
    """Seconds and numbers of connections."""

    unknown_s: float = 15.0  #: from the first packet until it is known who it is, handshakes and headers included
    request_s: float = 120.0  #: of a known one: its body, the API's answer, and the reading of that
    idle_s: float = 20.0  #: of a known one: until the next request's headers are complete
    most_unknown: int = 256
    most_of_address: int = 64  #: unknown ones; not of loopback, where a reverse proxy may stand for everybody
    most_of_attempt: int = 24  #: a machine has about six
    most_known: int = 2_000


class Place:
    """One connection's; it is gone when the time is over that it was given last."""

    def __init__(self, places: Places, transport: asyncio.Transport) -> None:
        self.address = _counted_address(transport)
        self.attempt: str | None = None  #: once it is known
        self.on_known: Callable[[], None] = lambda: None
        self._places = places
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    @property
    def limits(self) -> Limits:
        return self._places.limits

    def within(self, seconds: float | None) -> None:
        """From now on; None: no end of its own."""
        if self._timer is not None:
            self._timer.cancel()
        if self._gone:
            return
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds, self.end)

    def end(self) -> None:
        """At once: a client that does not read would hold a connection that is only being closed."""
        self.free()
        self._transport.abort()

    def free(self) -> None:
        """The connection has ended. Safe to repeat."""
        self.within(None)
        self._gone = True
        self._places.free(self)

    def known(self, attempt: str) -> bool:
        """A token of this attempt was read here: a request has begun. False if the attempt has too many already."""
        if self._gone or (self.attempt is None and not self._places.keep(self, attempt)):
            return False
        self.within(self.limits.request_s)
        self.on_known()
        return True

    def answered(self) -> None:
        if self.attempt is not None:
            self.within(self.limits.idle_s)


class Places:
    """Of one proxy."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._unknown: dict[str, dict[Place, None]] = {}  # by address, the oldest first
        self._known: Counter[str] = Counter()
        self._held: set[Place] = set()

    def take(self, transport: asyncio.Transport) -> Place:
        """For a new connection; where there is none left, an older unknown one loses its own."""
        place = Place(self, transport)
        of_address = len(self._unknown.get(place.address, ()))
        if of_address >= self.limits.most_of_address and not _is_loopback(place.address):
            self._drop(place.address)
        elif self.unknown >= self.limits.most_unknown:
            # Of the address that has most: one that floods must not push out the others.
            self._drop(max(self._unknown, key=lambda address: len(self._unknown[address])))
        self._unknown.setdefault(place.address, {})[place] = None
        place.within(self.limits.unknown_s)
        return place

    @property
    def unknown(self) -> int:
        return sum(len(places) for places in self._unknown.values())

    def keep(self, place: Place, attempt: str) -> bool:
        """It counts as this attempt's from now on, if that may have another."""
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
        """All that is unknown goes; what is known is the server's to end."""
        for place in [place for places in self._unknown.values() for place in places]:
            place.end()

    def _drop(self, address: str) -> None:
        log.warning("too many connections without a token: the oldest of %s is dropped", address)
        next(iter(self._unknown[address])).end()


def place_of(scope: MutableMapping[str, Any]) -> Place:
    """The place of the connection that a request came by."""
    place = scope["state"][PLACE]
    assert isinstance(place, Place)
    return place


def _counted_address(transport: asyncio.Transport) -> str:
    """The peer's; of IPv6 the network, since one host has a whole one. X-Forwarded-For is anybody's to write."""
    peer = transport.get_extra_info("peername")
    if not peer:  # gone already
        return ""
    address = ip_address(peer[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None and not address.is_loopback:
        return str(ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
