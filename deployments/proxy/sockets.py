"""The two websockets that a machine needs: events to the server, and news that its run is being cancelled.

The client's first message holds the token (as its auth string); the API is told the controller's own instead.
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
from spotwave.deployments.proxy.upstream import Away, Upstream

log = logging.getLogger(__name__)

FIRST_WORD_S = 10.0  #: a client that does not say who it is within this time is cut off
_CLOSE_S = 15.0  # for a websocket that is over to be gone
_POLICY, _TRY_LATER = 1008, 1013  # RFC 6455 section 7.4.1 and its registry

Relay = Callable[[WebSocket, ClientConnection, Attempt], Awaitable[None]]


class Sockets:
    """Relays websockets of machines, each for as long as its token is good."""

    def __init__(self, key: str, upstream: Upstream, attempts: Attempts) -> None:
        self._key = key
        self._upstream = upstream
        self._attempts = attempts

    async def events_in(self, machine: WebSocket) -> None:
        await self._serve(machine, "/events/in", _send_events)

    async def events_out(self, machine: WebSocket) -> None:
        await self._serve(machine, "/events/out", _hear_events)

    async def _serve(self, machine: WebSocket, path: str, relay: Relay) -> None:
        if "prefect" not in machine.scope.get("subprotocols", []):
            await machine.close(_POLICY)  # before it is accepted: HTTP 403
            return
        await machine.accept(subprotocol="prefect")
        name, place = "unknown", place_of(machine.scope)
        try:
            attempt = await self._let_in(machine)
            name = attempt.name
            place.within(None)  # its pings tell whether it is there, its token how long it may be
            async with self._upstream.socket(path) as api:
                await machine.send_json({"type": "auth_success"})
                await _until_the_first_ends(relay(machine, api, attempt), _token_ends(attempt), api.wait_closed())
            await _close(machine, _TRY_LATER, "over")
        except Refused as refused:
            log.warning("refused %s: WS %s: %s", name, path, refused)
            await _close(machine, _POLICY, str(refused))
        except Away as away:
            log.warning("%s: WS %s: the Prefect API is away: %s", name, path, away)
            await _close(machine, _TRY_LATER, "the Prefect API is away")
        except WebSocketDisconnect:
            return
        finally:
            place.within(_CLOSE_S)

    async def _let_in(self, machine: WebSocket) -> Attempt:
        """Raises Refused, Away."""
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                told = await _receive(machine)
        except TimeoutError:
            raise Refused("no token came") from None
        auth = told.get("token") if isinstance(told, dict) and told.get("type") == "auth" else None
        try:
            token = AttemptToken.read(str(auth).removeprefix(f"{USER}:"), self._key)
        except BadToken as bad:
            raise Refused(str(bad)) from None
        if not place_of(machine.scope).known(token.name):
            raise Refused("too many connections of one attempt")
        attempt = self._attempts.of(token)
        if not await attempt.living():
            raise Refused("the token was taken back")
        return attempt


async def _send_events(machine: WebSocket, api: ClientConnection, attempt: Attempt) -> None:
    """One after the other, so that an event is with the server before the next is looked at."""
    while True:
        event = await _receive(machine)
        try:
            event = await events.check(attempt, event)
        except Refused as refused:
            # Not the end of the connection: the client would come back and send the same again, for ever.
            log.warning("refused %s: an event: %s", attempt.name, refused)
            continue
        await api.send(json.dumps(event))


async def _hear_events(machine: WebSocket, api: ClientConnection, attempt: Attempt) -> None:
    asked = await _receive(machine)
    await api.send(json.dumps(events.wanted(asked)))

    async def pass_on() -> None:
        async for told in api:
            event = json.loads(told)
            if await events.may_hear(attempt, event):
                await machine.send_json(event)

    async def until_it_leaves() -> None:
        await machine.receive()  # it has no more to say: whatever comes is its end

    await _until_the_first_ends(pass_on(), until_it_leaves())


async def _token_ends(attempt: Attempt) -> None:
    """Raises Refused once the token is over or was taken back."""
    while await attempt.living():
        await asyncio.sleep(FRESH_S)
    raise Refused("the token is over, or was taken back")


async def _until_the_first_ends(*works: Awaitable[None]) -> None:
    """Run side by side until one ends; raises what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except ConnectionClosed as error:
        raise Away(type(error).__name__) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _receive(machine: WebSocket) -> Any:
    """The next message. Raises Refused for what is no JSON text, WebSocketDisconnect at the end."""
    message = await machine.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    try:
        return json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        raise Refused("a message that is no JSON text") from None


async def _close(machine: WebSocket, code: int, reason: str) -> None:
    if machine.application_state is WebSocketState.CONNECTED and machine.client_state is WebSocketState.CONNECTED:
        await machine.close(code, reason)
