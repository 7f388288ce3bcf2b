"""One request for many jobs: threads of a controller that ask for similar things at about the same time share it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from prefect.client.orchestration import SyncPrefectClient

K = TypeVar("K")
V = TypeVar("V")

WINDOW_S = 0.1  # how long a request waits for other jobs to join it
MOST = 200  # objects in one answer of Prefect's API


def sleep_to_tick(pause_s: float, tick_s: float) -> None:
    """Sleep for at least `pause_s`, until a multiple of `tick_s` of the computer's clock since boot.

    So all jobs of this process poll at the same moments, and share their requests.
    """
    now = time.monotonic()
    time.sleep(-(-(now + pause_s) // tick_s) * tick_s - now)


@dataclass
class _Round(Generic[K, V]):
    keys: set[K] = field(default_factory=set)
    answered: threading.Event = field(default_factory=threading.Event)
    found: Mapping[K, V] = field(default_factory=dict)
    error: BaseException | None = None


class Batch(Generic[K, V]):
    """A read of one object by its key, which is sent together with those of other threads."""

    def __init__(self, read: Callable[[SyncPrefectClient, list[K]], Mapping[K, V]]) -> None:
        """read: returns those of at most `MOST` objects that exist."""
        self._read = read
        self._lock = threading.Lock()
        self._open: dict[str, _Round[K, V]] = {}  # by the address of the API

    def get(self, client: SyncPrefectClient, key: K) -> V | None:
        """Return the object as of this call or later; None if it does not exist. Raises the client's errors."""
        if threading.current_thread() is threading.main_thread():  # a process with one job
            return self._read(client, [key]).get(key)
        address = str(client.api_url)
        with self._lock:
            first = address not in self._open
            mine = self._open.setdefault(address, _Round())
            mine.keys.add(key)
        if first:
            self._send(client, address, mine)
        mine.answered.wait()
        if mine.error is not None:
            raise mine.error
        return mine.found.get(key)

    def _send(self, client: SyncPrefectClient, address: str, round_: _Round[K, V]) -> None:
        """Send the request of the threads that join within the window; its answer or error is that of all of them."""
        try:
            time.sleep(WINDOW_S)
        finally:
            with self._lock:
                del self._open[address]
        try:
            keys, found = list(round_.keys), dict[K, V]()
            for start in range(0, len(keys), MOST):
                found |= self._read(client, keys[start : start + MOST])
            round_.found = found
        except BaseException as error:  # noqa: BLE001 - raised by `get`, in every thread that waits for it
            round_.error = error
        finally:
            round_.answered.set()
