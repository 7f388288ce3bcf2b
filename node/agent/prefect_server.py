"""Prefect's command line with two fixes for a server on SQLite.

    python -m spotwave.node.agent.prefect_server server start ...

With Prefect 3.9.1 on SQLite, two problems stop the server as soon as several jobs run.

**Garbage collection.** Python's collector runs in whichever thread allocates, and there it finalises cursors of all
connections. SQLite then takes the connection's mutex, which the connection's own thread holds while it waits for the
write lock: up to a minute in Prefect. If the event loop's thread collects, and only the event loop can end the
transaction that holds the lock, the server is blocked for that minute. Here a separate thread collects, which may wait
without blocking anything. Objects that exist once the server is up are excluded (`gc.freeze`): scanning them takes a
quarter of a second, during which no other thread runs.

**Websockets.** To limit the number of writers, the server answers at most a hundred requests at a time
(`prefect.server.api.server.RequestLimitMiddleware`). An open websocket counts as a request, and each process of a job
keeps four open. With twelve jobs the limit is reached, and no further request is answered, including those that the
websockets' clients wait for. Here websockets do not count: they hold no database connection while they wait.
"""

from __future__ import annotations

import gc
import threading
from typing import Any

YOUNG_S = 1.0  # interval between collections of the young generations
ALL_EVERY = 30  # every 30th collection covers all generations


def collect_apart() -> None:
    """Run garbage collection in a thread of its own and disable it in all others."""
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    never = threading.Event()
    turn = 0
    while not never.wait(YOUNG_S):
        turn += 1
        gc.collect(2 if turn % ALL_EVERY == 0 else 1)
        if turn == ALL_EVERY:
            gc.freeze()  # once, when the server is up: objects made later may become garbage


def count_no_websockets() -> None:
    """Exclude websockets from the server's limit of concurrent requests."""
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
    from prefect.cli import app  # after collect_apart(): this import takes seconds and creates garbage

    count_no_websockets()
    app()
