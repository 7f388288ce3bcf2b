"""Prefect's own command line, for a server on SQLite: its garbage is collected by a thread of its own.

    python -m node.prefect_server server start ...

Python's collector runs in whichever thread happens to allocate, and there it finalises cursors of all connections. For
that SQLite takes the connection's mutex, which the connection's own thread holds for as long as it waits for the write
lock: for a minute, in Prefect. If the event loop's thread is the one that collects, and the transaction that has the
lock is one that only the event loop can end, then nothing moves for that minute. Seen in Prefect 3.8.8 with Python 3.11
every few minutes as soon as a handful of jobs ran. A collector that waits in a thread of its own holds up nobody.
"""

from __future__ import annotations

import gc
import threading

YOUNG_S = 1.0  # how often the young generations are looked through
ALL_EVERY = 30  # every so many times all of them are


def collect_apart() -> None:
    """From now on no thread of this process collects but one."""
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    never = threading.Event()
    turn = 0
    while not never.wait(YOUNG_S):
        turn += 1
        gc.collect(2 if turn % ALL_EVERY == 0 else 1)


if __name__ == "__main__":
    collect_apart()
    from prefect.cli import app  # it takes seconds, in which garbage grows

    app()
