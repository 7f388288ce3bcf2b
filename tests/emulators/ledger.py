"""What an emulated cloud bills: by the second, from the moment a thing exists until it is gone."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Item:
    """One thing that bills (or, with a price of 0, that must not be left behind)."""

    kind: str  #: "machine", "disk", "ip", "nic", "secret", "spot request"
    id: str
    usd_h: float  #: at first; `moves` tells what came after
    begun: float = field(default_factory=time.time)  #: Unix seconds
    ended: float | None = None
    of: str = ""  #: the machine that it belongs to; empty: itself, or none
    least_s: float = 0.0  #: it is billed for so long even if it lived for less
    moves: list[tuple[float, float]] = field(default_factory=list)  #: (Unix seconds, USD/h from then on)
    free: bool = False  #: the cloud gives it away

    @property
    def usd(self) -> float:
        """Each second at its own price."""
        end = max(self.ended or time.time(), self.begun + self.least_s)
        total, since, usd_h = 0.0, self.begun, self.usd_h
        for at, price in self.moves:
            if at >= end:
                break
            total += (at - since) * usd_h
            since, usd_h = at, price
        return 0.0 if self.free else (total + (end - since) * usd_h) / 3600


class Ledger:
    """Every item that ever was. Safe to use from several threads."""

    def __init__(self, least_s: float = 0.0) -> None:
        """least_s: what a machine, and all that bills with it, is billed for at least."""
        self._least_s = least_s
        self._items: list[Item] = []
        self._lock = threading.Lock()

    def open(self, kind: str, id_: str, usd_h: float = 0.0, of: str = "") -> None:
        with self._lock:
            self._items.append(Item(kind, id_, usd_h, of=of, least_s=self._least_s))

    def reprice(self, id_: str, usd_h: float) -> None:
        """From now on the machine costs that."""
        with self._lock:
            for item in self._items:
                if (item.kind, item.id) == ("machine", id_):
                    item.moves.append((time.time(), usd_h))

    def waive(self, id_: str) -> None:
        """The machine costs nothing after all; what came with it does."""
        with self._lock:
            for item in self._items:
                if (item.kind, item.id) == ("machine", id_):
                    item.free = True

    def close(self, kind: str, id_: str) -> None:
        """Safe to repeat."""
        with self._lock:
            for item in self._items:
                if (item.kind, item.id) == (kind, id_) and item.ended is None:
                    item.ended = time.time()

    def items(self, kind: str = "") -> list[Item]:
        with self._lock:
            return [item for item in self._items if kind in ("", item.kind)]

    def left(self) -> list[Item]:
        """What is still there."""
        return [item for item in self.items() if item.ended is None]

    def of_machine(self, id_: str) -> list[Item]:
        """The machine, its disk, its address: all that bills with it."""
        return [item for item in self.items() if id_ in (item.id, item.of)]

    @property
    def usd(self) -> float:
        return sum(item.usd for item in self.items())
