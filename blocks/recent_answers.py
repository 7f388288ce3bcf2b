"""What a walk along the offers need not ask, or do, twice: answers of a cloud, for a while and in small number."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

KEPT_S = 600.0  #: then it is asked anew: an image may be replaced, a network be made
MOST = 256  #: answers; a walk tries some dozen regions


class Recent:
    """Of one block. Keys say what was asked, of which account's settings; secrets are no part of keys or answers.

    Safe to use from several threads, which may then ask the same twice.
    """

    def __init__(self, kept_s: float = KEPT_S, most: int = MOST) -> None:
        self._kept_s = kept_s
        self._most = most
        self._answers: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer, asked for where it is not remembered. What `ask` raises is not remembered."""
        found = self._answers.get(key)
        if found is not None and time.monotonic() < found[0]:
            answer: T = found[1]
            return answer
        answer = ask()
        self.put(key, answer)
        return answer

    def put(self, key: Hashable, answer: object) -> None:
        """Remember it from now on."""
        self._answers.pop(key, None)
        while len(self._answers) >= self._most:
            self._answers.pop(next(iter(self._answers), None), None)  # the oldest
        self._answers[key] = (time.monotonic() + self._kept_s, answer)

    def clear(self) -> None:
        """Something of it was deleted."""
        self._answers.clear()

    def __eq__(self, other: object) -> bool:
        """Two blocks with the same settings are equal, whatever they remember."""
        return isinstance(other, Recent)

    __hash__ = None  # type: ignore[assignment]
