"""A flood of connections with incomplete requests, from a separate process."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

HALF_HEADER = b"POST /api/logs/ HTTP/1.1\r\nHost: proxy\r\nX-Half"
HALF_BODY = b"POST /api/logs/ HTTP/1.1\r\nHost: proxy\r\nContent-Length: 1000\r\n\r\n[{"
GARBAGE = bytes.fromhex("16030100c8010000c40303") + os.urandom(64)  # a TLS ClientHello to a server without TLS
UPGRADE = (
    b"GET /api/events/in HTTP/1.1\r\nHost: proxy\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: prefect\r\n\r\n"
)
REQUESTS = b"GET /health HTTP/1.1\r\nHost: proxy\r\n\r\n" * 50  # responses are not read

_MOST_S = 400.0  # time limit, even if the test hangs
_AT_ONCE = 5  # connections opened every 0.05 s


@contextmanager
def flooded(port: int, connections: int) -> Iterator[Synchronized[int]]:
    """Hold so many connections, and reopen those that the proxy ends. Yields the number opened so far."""
    processes = get_context("spawn")  # a separate interpreter from the proxy in the test's process
    count: Synchronized[int] = processes.Value("i", 0)
    over = processes.Event()
    process = processes.Process(target=_flood, args=(port, connections, count, over), daemon=True)
    process.start()
    try:
        yield count
    finally:
        over.set()
        process.join(20)


def _flood(port: int, connections: int, count: Synchronized[int], over: Event) -> None:
    kinds = (HALF_HEADER, HALF_BODY, GARBAGE, UPGRADE, REQUESTS, b"")
    held: list[socket.socket] = []
    end = time.monotonic() + _MOST_S
    while not over.wait(0.05) and time.monotonic() < end:
        held = [one for one in held if not _is_over(one)]
        for _ in range(min(_AT_ONCE, connections - len(held))):
            try:
                one = socket.create_connection(("127.0.0.1", port), 5)
                held.append(one)
                one.sendall(kinds[count.value % len(kinds)])
            except OSError:
                continue
            count.value += 1
    for one in held:
        one.close()


def _is_over(one: socket.socket) -> bool:
    """Return whether the proxy has ended the connection, even with an unread response."""
    looks = select.poll()
    looks.register(one, select.POLLRDHUP)
    over = bool(looks.poll(0))
    if over:
        one.close()
    return over
