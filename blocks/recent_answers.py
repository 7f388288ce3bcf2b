"""Small, short-lived cache of a cloud's answers, so that trying many offers does not repeat calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

KEPT_S = 600.0  #: then the call is repeated: an image may be replaced or a network created
MOST = 256  #: number of answers; a launch tries some dozen regions


class Recent:
    """Cache of one block. Keys hold the request and the account settings; keys and answers hold no secrets.

    Thread-safe; two threads may make the same call at once.
    """

    def __init__(self, kept_s: float = KEPT_S, most: int = MOST) -> None:
        self._kept_s = kept_s
        self._most = most
        self._answers: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return the cached answer, or call `ask` and cache its result. Exceptions of `ask` are not cached."""
        found = self._answers.get(key)
        if found is not None and time.monotonic() < found[0]:
            answer: T = found[1]
            return answer
        answer = ask()
        self.put(key, answer)
        return answer

    def put(self, key: Hashable, answer: object) -> None:
        """Cache an answer."""
        self._answers.pop(key, None)
        while len(self._answers) >= self._most:
            self._answers.pop(next(iter(self._answers), None), None)  # the oldest
        self._answers[key] = (time.monotonic() + self._kept_s, answer)

    def clear(self) -> None:
        """Drop all answers, after a cached resource was deleted."""
        self._answers.clear()

    def __eq__(self, other: object) -> bool:
        """Blocks with equal settings are equal, whatever their cache holds."""
        return isinstance(other, Recent)

    __hash__ = None  # type: ignore[assignment]
