"""Prefect's own command line, for a server on SQLite that does not stand still.

    python -m spotwave.node.agent.prefect_server server start ...

Two things of Prefect 3.9.1 on SQLite stop it as soon as several jobs run. Each has its remedy here.

**Garbage.** Python's collector runs in whichever thread happens to allocate, and there it finalises cursors of all
connections. For that SQLite takes the connection's mutex, which the connection's own thread holds for as long as it
waits for the write lock: for a minute, in Prefect. If the event loop's thread is the one that collects, and the
transaction that has the lock is one that only the event loop can end, then nothing moves for that minute. A collector
that waits in a thread of its own holds up nobody. It leaves alone what the server is made of: to look through that
takes a quarter of a second, in which no other thread goes on.

**Websockets.** So that there are not too many writers, a hundred requests are answered at a time
(`prefect.server.api.server.RequestLimitMiddleware`). A websocket counts as one for as long as it is open, and each
process of a job keeps four: twelve jobs take the hundred, and then no request is answered any more, those included for
which they wait. Here websockets do not count: they hold no connection to the database while they wait.
"""

from __future__ import annotations

import gc
import threading
from typing import Any

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
        if turn == ALL_EVERY:
            gc.freeze()  # the server is up; once only, for what grows later may become garbage


def count_no_websockets() -> None:
    """From now on the server's limit is one of requests that can write."""
    from prefect.server.api.server import RequestLimitMiddleware

    limited = RequestLimitMiddleware.__call__

    async def call(self: RequestLimitMiddleware, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await limited(self, scope, receive, send)

    RequestLimitMiddleware.__call__ = call  # type: ignore[method-assign]


if __name__ == "__main__":
    collect_apart()
    from prefect.cli import app  # it takes seconds, in which garbage grows

    count_no_websockets()
    app()
