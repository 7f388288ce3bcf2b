"""Threads that ask at the same time share one request, with its answer or its error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from prefect.client.orchestration import SyncPrefectClient

from spotwave.tasks import batch
from spotwave.tasks.batch import Batch, sleep_to_tick


class Client:
    """Stands for a client: only its address is read."""

    def __init__(self, api_url: str = "http://one") -> None:
        self.api_url = api_url


class Squares:
    """Squares of numbers, except 13, which does not exist. Records its requests."""

    def __init__(self) -> None:
        self.requests: list[list[int]] = []

    def __call__(self, client: Any, numbers: list[int]) -> dict[int, int]:
        self.requests.append(sorted(numbers))
        if 0 in numbers:
            raise OSError("no answer")
        return {number: number * number for number in numbers if number != 13}


@pytest.fixture(autouse=True)
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "WINDOW_S", 0.5)


def together(count: int, ask: Callable[[int], Any]) -> list[Any]:
    """Ask with 0 ... count - 1 in that many threads, which begin at the same moment."""
    begin = threading.Barrier(count)

    def one(number: int) -> Any:
        begin.wait()
        return ask(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def ask(squares: Batch[int, int], number: int, address: str = "http://one") -> int | None:
    return squares.get(cast(SyncPrefectClient, Client(address)), number)


def test_threads_share_a_request() -> None:
    read = Squares()
    squares = Batch(read)
    found = together(20, lambda turn: ask(squares, 10 + turn % 5))
    assert found == [100, 121, 144, None, 196] * 4
    assert read.requests == [[10, 11, 12, 13, 14]]
    assert together(2, lambda turn: ask(squares, 5)) == [25, 25], "the next round asks again"
    assert read.requests[1:] == [[5]]


def test_error_reaches_everyone_who_waits() -> None:
    squares = Batch(Squares())

    def one(turn: int) -> str:
        with pytest.raises(OSError, match="no answer") as caught:
            ask(squares, turn)
        return str(caught.value)

    assert together(4, one) == ["no answer"] * 4


def test_other_api_is_another_request() -> None:
    read = Squares()
    squares = Batch(read)
    assert together(4, lambda turn: ask(squares, 2, f"http://{turn % 2}")) == [4] * 4
    assert read.requests == [[2], [2]]


def test_many_objects_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST", 2)
    read = Squares()
    squares = Batch(read)
    assert together(5, lambda turn: ask(squares, 1 + turn)) == [1, 4, 9, 16, 25]
    assert sorted(len(one) for one in read.requests) == [1, 2, 2]


def test_process_with_one_job_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "WINDOW_S", 3600.0)
    assert ask(Batch(Squares()), 3) == 9


def test_pause_ends_at_a_tick() -> None:
    before = time.monotonic()
    sleep_to_tick(0.05, 0.2)
    after = time.monotonic()
    assert after - before >= 0.05
    assert after // 0.2 > before // 0.2
