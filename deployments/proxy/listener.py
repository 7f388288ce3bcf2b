"""uvicorn with timeouts that it lacks: for headers, TLS handshakes, idle websockets, and unread responses.

Each connection gets a place (deployments.proxy.places) before its first byte is read; the place ends the connection.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from spotwave.deployments.proxy.places import PLACE, Place, Places, place_of
from spotwave.deployments.proxy.upstream import MOST_FRAME_BYTES

FIRST_MESSAGE_BYTES = 16_384  #: maximum size of a websocket's messages before authentication; a token is shorter
# asyncio accepts so many connections at once, and reads from them only in a later iteration of the event loop. There
# must be enough places for all of them.
AT_ONCE = 16
_QUEUE = 1024  # connections that wait in the kernel meanwhile
_CLOSE_S = 5.0  # time for a websocket that did not answer a ping to read the close message


class HttpConnection(H11Protocol):
    """An HTTP/1.1 connection, until it is upgraded to a websocket."""

    def __init__(self, place: Place, config: uvicorn.Config, state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, state, {**app_state, PLACE: place})
        self._place = place
        self._early = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if self._early:
            self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:  # data that arrived together with the end of the TLS handshake
            self._early += data
            return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.free()
        if self.transport is not None:
            super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._place.answered()
        super().on_response_complete()


class SocketConnection(WebSocketsSansIOProtocol):
    """A websocket connection, after the upgrade."""

    def __init__(self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._place: Place = app_state[PLACE]
        self._place.on_known = self._known
        self.conn.max_message_size = FIRST_MESSAGE_BYTES

    def _known(self) -> None:
        self.conn.max_message_size = MOST_FRAME_BYTES

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.free()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        self._place.within(_CLOSE_S)
        super().keepalive_timeout()


class OneAnswer:
    """Wrapper of the application that closes an unauthenticated connection after one response.

    So many pipelined requests in one packet are not all processed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if message["type"] == "http.response.start" and place_of(scope).attempt is None:
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, last if scope["type"] == "http" else send)


class Server(uvicorn.Server):
    """Server for the sockets passed to `run`; calls `ready` when it listens."""

    def __init__(self, config: uvicorn.Config, places: Places, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._places = places
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # everything except listening
        _allow_files(2 * (self._places.limits.most_unknown + self._places.limits.most_known) + AT_ONCE)
        loop = asyncio.get_running_loop()
        for listening in sockets or []:
            self.servers.append(await loop.create_server(lambda: _Opening(self), sock=listening, backlog=AT_ONCE))
            listening.listen(_QUEUE)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._places.close()
        await super().shutdown(sockets)

    def place_for(self, transport: asyncio.Transport) -> Place:
        return self._places.take(transport)

    def protocol_for(self, place: Place) -> HttpConnection:
        return HttpConnection(place, self.config, self.server_state, self.lifespan.state)

    @property
    def tls(self) -> ssl.SSLContext | None:
        return self.config.ssl


class _Opening(asyncio.Protocol):
    """A newly accepted connection: takes its place, does the TLS handshake, and switches to HttpConnection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        protocol = self._server.protocol_for(place := self._server.place_for(transport))
        if (tls := self._server.tls) is not None:
            # TLS is not left to create_server, which reports a connection only after its handshake.
            transport.pause_reading()
            self._shaking = asyncio.create_task(_shake_hands(transport, protocol, place, tls))
        else:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)


async def _shake_hands(raw: asyncio.Transport, protocol: HttpConnection, place: Place, tls: ssl.SSLContext) -> None:
    loop, limit_s = asyncio.get_running_loop(), place.limits.unknown_s
    try:
        secured = await loop.start_tls(raw, protocol, tls, server_side=True, ssl_handshake_timeout=limit_s)
    except OSError:  # includes ssl.SSLError and a handshake timeout
        place.end()
        return
    if secured is None or secured.is_closing():
        place.end()
    else:
        protocol.connection_made(secured)


def _allow_files(wanted: int) -> None:
    """Raise the limit of open files to `wanted`, as far as the system allows; the default is often only 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
