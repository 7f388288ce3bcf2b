"""Bounded concurrent calls: the results, the failures and the progress."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
OnProgress = Callable[[int, int], None]  #: called with (calls done, calls known so far), from any thread


def no_progress(done: int, total: int) -> None:
    """Ignore the progress."""


class _Collector:
    """Pauses Python's garbage collector while any market is being read.

    Hundreds of thousands of small dicts, none of them garbage, trigger it again and again: a third of the CPU time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._was_on = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self._lock:
            if self._readers == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._readers += 1
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if self._readers == 0 and self._was_on:
                    gc.enable()


_collector = _Collector()


class Unavailable(Exception):
    """A region or table could not be read; the message says why, in one line and without secrets."""


def gather(
    questions: Mapping[str, Callable[[], T]], at_most: int, tell: OnProgress = no_progress
) -> tuple[dict[str, T], dict[str, str]]:
    """Run all calls, `at_most` at a time. Return (results, reasons of failure), both by name in the given order.

    Only `Unavailable` counts as a failed call; any other exception is a bug, and is raised.
    """
    answers: dict[str, T] = {}
    failed: dict[str, str] = {}
    if not questions:
        return answers, failed
    with _collector.paused(), ThreadPoolExecutor(max_workers=min(at_most, len(questions))) as pool:
        pending = {pool.submit(ask): name for name, ask in questions.items()}
        try:
            for done, future in enumerate(as_completed(pending), start=1):
                name = pending[future]
                try:
                    answers[name] = future.result()
                except Unavailable as error:
                    failed[name] = str(error)
                tell(done, len(questions))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    order = list(questions)
    return {name: answers[name] for name in order if name in answers}, {
        name: failed[name] for name in order if name in failed
    }


class Progress:
    """Reports several gathers that run at once as one progress."""

    def __init__(self, tell: OnProgress) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._parts: list[tuple[int, int]] = []

    def part(self) -> OnProgress:
        with self._lock:
            place = len(self._parts)
            self._parts.append((0, 0))

        def report(done: int, total: int) -> None:
            with self._lock:
                self._parts[place] = (done, total)
                self._tell(sum(part[0] for part in self._parts), sum(part[1] for part in self._parts))

        return report
