"""Bills of an emulated cloud: per second, for the time that a resource exists."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Item:
    """A resource that bills (or, with a price of 0, that must not be left behind)."""

    kind: str  #: "machine", "disk", "ip", "nic", "secret", "spot request"
    id: str
    usd_h: float  #: first price; `moves` has later ones
    begun: float = field(default_factory=time.time)  #: Unix seconds
    ended: float | None = None
    of: str = ""  #: the machine that it belongs to; empty: itself, or none
    least_s: float = 0.0  #: minimum billed time
    moves: list[tuple[float, float]] = field(default_factory=list)  #: (Unix seconds, USD/h from then on)
    free: bool = False  #: not billed

    @property
    def usd(self) -> float:
        """Cost, with each second at its own price."""
        end = max(self.ended or time.time(), self.begun + self.least_s)
        total, since, usd_h = 0.0, self.begun, self.usd_h
        for at, price in self.moves:
            if at >= end:
                break
            total += (at - since) * usd_h
            since, usd_h = at, price
        return 0.0 if self.free else (total + (end - since) * usd_h) / 3600


class Ledger:
    """All items, including ended ones. Thread-safe."""

    def __init__(self, least_s: float = 0.0) -> None:
        """least_s: minimum billed time of a machine and everything that bills with it."""
        self._least_s = least_s
        self._items: list[Item] = []
        self._lock = threading.Lock()

    def open(self, kind: str, id_: str, usd_h: float = 0.0, of: str = "") -> None:
        with self._lock:
            self._items.append(Item(kind, id_, usd_h, of=of, least_s=self._least_s))

    def reprice(self, id_: str, usd_h: float) -> None:
        """Change the machine's price from now on."""
        with self._lock:
            for item in self._items:
                if (item.kind, item.id) == ("machine", id_):
                    item.moves.append((time.time(), usd_h))

    def waive(self, id_: str) -> None:
        """Do not bill the machine; its other parts still are."""
        with self._lock:
            for item in self._items:
                if (item.kind, item.id) == ("machine", id_):
                    item.free = True

    def close(self, kind: str, id_: str) -> None:
        """End an item; safe to repeat."""
        with self._lock:
            for item in self._items:
                if (item.kind, item.id) == (kind, id_) and item.ended is None:
                    item.ended = time.time()

    def items(self, kind: str = "") -> list[Item]:
        with self._lock:
            return [item for item in self._items if kind in ("", item.kind)]

    def left(self) -> list[Item]:
        """Return the items that still exist."""
        return [item for item in self.items() if item.ended is None]

    def of_machine(self, id_: str) -> list[Item]:
        """Return everything that bills with the machine: itself, its disk, its address."""
        return [item for item in self.items() if id_ in (item.id, item.of)]

    @property
    def usd(self) -> float:
        return sum(item.usd for item in self.items())
