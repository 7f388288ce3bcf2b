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
    usd_h: float
    begun: float = field(default_factory=time.time)  #: Unix seconds
    ended: float | None = None

    @property
    def usd(self) -> float:
        return self.usd_h * ((self.ended or time.time()) - self.begun) / 3600


class Ledger:
    """Every item that ever was. Safe to use from several threads."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._lock = threading.Lock()

    def open(self, kind: str, id_: str, usd_h: float = 0.0) -> None:
        with self._lock:
            self._items.append(Item(kind, id_, usd_h))

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

    @property
    def usd(self) -> float:
        return sum(item.usd for item in self.items())
