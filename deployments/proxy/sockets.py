"""The two websockets that a machine needs: one to send events, one to receive the cancellation of its run.

The client's first message has the token as its auth string; the proxy sends the controller's credentials to the API.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from spotwave.blocks.attempt_token import USER, AttemptToken, BadToken
from spotwave.deployments.proxy import events
from spotwave.deployments.proxy.attempt import FRESH_S, Attempt, Attempts
from spotwave.deployments.proxy.places import place_of
from spotwave.deployments.proxy.rules import Refused
from spotwave.deployments.proxy.upstream import ApiUnavailable, Upstream

log = logging.getLogger(__name__)

AUTHENTICATION_S = 10.0  #: a client that does not send its token within this time is disconnected
_CLOSE_S = 15.0  # time limit to close a websocket
_POLICY, _TRY_LATER = 1008, 1013  # close codes of RFC 6455 section 7.4.1 and its registry

Relay = Callable[[WebSocket, ClientConnection, Attempt], Awaitable[None]]


class Sockets:
    """Relay for websockets of machines, each for as long as its token is valid."""

    def __init__(self, key: str, upstream: Upstream, attempts: Attempts) -> None:
        self._key = key
        self._upstream = upstream
        self._attempts = attempts

    async def events_in(self, machine: WebSocket) -> None:
        await self._serve(machine, "/events/in", _send_events)

    async def events_out(self, machine: WebSocket) -> None:
        await self._serve(machine, "/events/out", _receive_events)

    async def _serve(self, machine: WebSocket, path: str, relay: Relay) -> None:
        if "prefect" not in machine.scope.get("subprotocols", []):
            await machine.close(_POLICY)  # before it is accepted: HTTP 403
            return
        await machine.accept(subprotocol="prefect")
        name, place = "unknown", place_of(machine.scope)
        try:
            attempt = await self._authenticate(machine)
            name = attempt.name
            place.within(None)  # from here on, pings detect a lost connection and the token limits the time
            async with self._upstream.socket(path) as api:
                await machine.send_json({"type": "auth_success"})
                await _until_the_first_ends(relay(machine, api, attempt), _token_ends(attempt), api.wait_closed())
            await _close(machine, _TRY_LATER, "over")
        except Refused as refused:
            log.warning("refused %s: WS %s: %s", name, path, refused)
            await _close(machine, _POLICY, str(refused))
        except ApiUnavailable as unavailable:
            log.warning("%s: WS %s: the Prefect API is unavailable: %s", name, path, unavailable)
            await _close(machine, _TRY_LATER, "the Prefect API is unavailable")
        except WebSocketDisconnect:
            return
        finally:
            place.within(_CLOSE_S)

    async def _authenticate(self, machine: WebSocket) -> Attempt:
        """Authenticate the machine by its first message. Raises Refused, ApiUnavailable."""
        try:
            async with asyncio.timeout(AUTHENTICATION_S):
                message = await _receive(machine)
        except TimeoutError:
            raise Refused("no token was received in time") from None
        auth = message.get("token") if isinstance(message, dict) and message.get("type") == "auth" else None
        try:
            token = AttemptToken.read(str(auth).removeprefix(f"{USER}:"), self._key)
        except BadToken as bad:
            raise Refused(str(bad)) from None
        if not place_of(machine.scope).known(token.name):
            raise Refused("too many connections of one attempt")
        attempt = self._attempts.of(token)
        if not await attempt.is_active():
            raise Refused("the token was revoked")
        return attempt


async def _send_events(machine: WebSocket, api: ClientConnection, attempt: Attempt) -> None:
    """Forward events in order: each is sent to the server before the next is checked."""
    while True:
        event = await _receive(machine)
        try:
            event = await events.check(attempt, event)
        except Refused as refused:
            # Keep the connection open: the client would otherwise reconnect and send the same event again, forever.
            log.warning("refused %s: an event: %s", attempt.name, refused)
            continue
        await api.send(json.dumps(event))


async def _receive_events(machine: WebSocket, api: ClientConnection, attempt: Attempt) -> None:
    subscription = await _receive(machine)
    await api.send(json.dumps(events.wanted(subscription)))

    async def pass_on() -> None:
        async for message in api:
            event = json.loads(message)
            if await events.may_receive(attempt, event):
                await machine.send_json(event)

    async def until_disconnect() -> None:
        await machine.receive()  # the client sends nothing after its subscription, so this is the disconnect

    await _until_the_first_ends(pass_on(), until_disconnect())


async def _token_ends(attempt: Attempt) -> None:
    """Wait until the token has expired or was revoked, then raise Refused."""
    while await attempt.is_active():
        await asyncio.sleep(FRESH_S)
    raise Refused("the token has expired or was revoked")


async def _until_the_first_ends(*works: Awaitable[None]) -> None:
    """Run the coroutines concurrently until the first ends, cancel the others, and raise its exception."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except ConnectionClosed as error:
        raise ApiUnavailable(type(error).__name__) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _receive(machine: WebSocket) -> Any:
    """Return the next message. Raises Refused if it is not JSON text, WebSocketDisconnect at the end."""
    message = await machine.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    try:
        return json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        raise Refused("the message is not JSON text") from None


async def _close(machine: WebSocket, code: int, reason: str) -> None:
    if machine.application_state is WebSocketState.CONNECTED and machine.client_state is WebSocketState.CONNECTED:
        await machine.close(code, reason)
