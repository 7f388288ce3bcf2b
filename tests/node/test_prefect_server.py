"""The two fixes of `node.agent.prefect_server`; the second case of each test shows the problem without them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spotwave.node.agent.prefect_server import count_no_websockets

WAITS_S = 3.0

# Without Prefect: the thread of an event loop has an open transaction; the thread of another connection to the same
# file waits for its write lock; a cursor of that connection has become garbage, and the loop's thread allocates memory.
CODE = """
import gc, sqlite3, sys, threading
from spotwave.node.agent.prefect_server import collect_apart
path, apart, waits_s = sys.argv[1], sys.argv[2] == "apart", float(sys.argv[3])
if apart:
    collect_apart()
mine, other = (sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=waits_s) for _ in "12")
mine.execute("PRAGMA journal_mode = WAL")
mine.execute("CREATE TABLE t (x)")
mine.execute("BEGIN IMMEDIATE")

class Ring:
    pass

def garbage():
    ring = Ring()
    ring.itself, ring.cursor = ring, other.execute("SELECT 1")

garbage()
result = []
begins = threading.Event()

def write():
    other.set_trace_callback(lambda _: begins.set())  # called when SQLite starts the statement
    try:
        other.execute("INSERT INTO t VALUES (1)")
        result.append("written")
    except sqlite3.OperationalError:  # its text depends on which thread first asks SQLite for it
        result.append("refused")

writer = threading.Thread(target=write)
writer.start()
begins.wait()
threading.Event().wait(0.5)  # from there until SQLite waits for the lock, which cannot be observed
kept = [[] for _ in range(200_000)]  # triggers Python's own garbage collection, if it is enabled
mine.execute("COMMIT")
writer.join()
print(*result)
"""


@pytest.mark.parametrize(("collector", "expected"), [("apart", "written"), ("python's own", "refused")])
def test_garbage_of_a_waiting_connection_does_not_block(tmp_path: Path, collector: str, expected: str) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path / "data.db"), collector, str(WAITS_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == expected, done.stderr


# Without Prefect: objects that exist at the first full collection are excluded afterwards, and later objects are
# collected as before.
LATER = """
import gc, weakref
from spotwave.node.agent import prefect_server
prefect_server.YOUNG_S, prefect_server.ALL_EVERY = 0.01, 3

class Ring:
    def __init__(self):
        self.itself = self

gc.disable()
kept = [Ring() for _ in range(1000)]
prefect_server.collect_apart()
while not gc.get_freeze_count():
    pass
print(gc.get_freeze_count() >= len(kept), len(gc.get_objects()) < len(kept))
later = weakref.ref(Ring())
while later() is not None:
    pass
print("collected")
"""


def test_objects_of_the_running_server_are_not_scanned_repeatedly() -> None:
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True", "collected"]


@pytest.mark.parametrize(("counted", "answered"), [(False, 3), (True, 0)])
def test_open_websockets_do_not_block_requests(monkeypatch: pytest.MonkeyPatch, counted: bool, answered: int) -> None:
    from prefect.server.api.server import RequestLimitMiddleware  # not above: each process of the tests imports that

    monkeypatch.setattr(RequestLimitMiddleware, "__call__", RequestLimitMiddleware.__call__)  # restored at the end
    if not counted:
        count_no_websockets()
    assert asyncio.run(_answered(limit=2, websockets=2, requests=3)) == answered


async def _answered(limit: int, websockets: int, requests: int) -> int:
    """Return how many requests are answered while websockets are open."""
    from prefect.server.api.server import RequestLimitMiddleware

    opened, answers = [], []

    async def app(scope: dict[str, str], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            opened.append(scope)
            await asyncio.Event().wait()
        answers.append(scope)

    limited = RequestLimitMiddleware(app, limit)
    open_ones = [asyncio.create_task(limited({"type": "websocket"}, None, None)) for _ in range(websockets)]
    while len(opened) < websockets:
        await asyncio.sleep(0)
    asked = [asyncio.create_task(limited({"type": "http"}, None, None)) for _ in range(requests)]
    await asyncio.wait(asked, timeout=0.5)
    for task in (*asked, *open_ones):
        task.cancel()
    await asyncio.gather(*asked, *open_ones, return_exceptions=True)
    return len(answers)
