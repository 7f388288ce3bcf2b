"""Connections from an emulated machine to this computer."""

from __future__ import annotations

import asyncio
import socket
import threading


class Traffic:
    """Forwards connections from a machine's listening sockets to ports of this computer, until stopped."""

    def __init__(self, roads: list[tuple[socket.socket, int]]) -> None:
        self._roads = roads
        self._severed: set[int] = set()
        self._carried: dict[int, set[asyncio.Task[None] | None]] = {}
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def sever(self, port: int) -> None:
        """Block connections to that port, and cut open ones."""
        self._severed.add(port)
        self._loop.call_soon_threadsafe(self._cut, port)

    def mend(self) -> None:
        """Allow all connections again."""
        self._severed.clear()

    def _cut(self, port: int) -> None:
        for task in self._carried.pop(port, set()):
            if task is not None:
                task.cancel()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        for listener, _ in self._roads:
            listener.close()
        self._loop.close()

    async def _serve(self) -> None:
        for listener, port in self._roads:
            await self._open(listener, port)
        await self._stopped.wait()

    async def _open(self, listener: socket.socket, port: int) -> None:
        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if port in self._severed:
                    raise ConnectionRefusedError
                there, back = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                writer.transport.abort()  # no server is listening: like a refused connection
                return
            ours = self._carried.setdefault(port, set())
            ours.add(me := asyncio.current_task())
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            except asyncio.CancelledError:  # the machine ended, or is cut off; asyncio would report it as an error
                for one in (writer, back):
                    one.transport.abort()
            finally:
                ours.discard(me)

        await asyncio.start_server(carry, sock=listener)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward bytes until the end of one direction."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
