"""The proxy as an ASGI application: authenticates a machine's request, applies the rules, and relays it to the API."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prefect.client.orchestration import get_client
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from spotwave.blocks.attempt_token import USER, AttemptToken, BadToken, is_ours
from spotwave.blocks.basic_auth import credentials
from spotwave.deployments.proxy.attempt import Attempt, Attempts
from spotwave.deployments.proxy.places import place_of
from spotwave.deployments.proxy.rules import Answer, Refused, rule_for
from spotwave.deployments.proxy.sockets import Sockets
from spotwave.deployments.proxy.upstream import ApiUnavailable, Upstream

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 5_000_000  #: Prefect's client sends at most 4 MB of logs at once
_BODY_S = 30.0  # time limit to receive a body
_NO_CALL = "this call is not allowed for a machine"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def make_app(key: str) -> Starlette:
    """Return the proxy for the API of the current Prefect settings. `key`: signs the machines' tokens."""
    proxy = _Proxy(key)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with get_client() as client:
            proxy.open(Upstream(client))
            yield

    return Starlette(
        routes=[
            Route("/health", proxy.health, methods=["GET"]),
            WebSocketRoute("/api/events/in", proxy.events_in),
            WebSocketRoute("/api/events/out", proxy.events_out),
            Route("/{path:path}", proxy.call, methods=_METHODS),
        ],
        exception_handlers={HTTPException: _no_such_call},
        lifespan=lifespan,
    )


class _Proxy:
    """Request handlers; `open` must be called first."""

    def __init__(self, key: str) -> None:
        self._key = key

    def open(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._attempts = Attempts(upstream)
        self._sockets = Sockets(self._key, upstream, self._attempts)

    async def events_in(self, socket: WebSocket) -> None:
        await self._sockets.events_in(socket)

    async def events_out(self, socket: WebSocket) -> None:
        await self._sockets.events_out(socket)

    async def health(self, request: Request) -> Response:
        """Answer 200 if the proxy runs; to a request with a valid token, only if the API answers too."""
        if "authorization" not in request.headers:
            return PlainTextResponse("the proxy runs\n")
        if not is_ours(_token_of(request), self._key):
            return PlainTextResponse("the token is not signed with the proxy's key\n", 403)
        try:
            answer = await self._upstream.send("GET", "/admin/version")
        except ApiUnavailable:
            return _unavailable()
        return PlainTextResponse("the proxy and the Prefect API run\n") if answer.is_success else _unavailable()

    async def call(self, request: Request) -> Response:
        """Handle one HTTP call of a machine."""
        name = "unknown"
        # The raw path: one with percent-encoding, double slashes or dot segments matches no rule.
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        try:
            token = AttemptToken.read(_token_of(request), self._key)
            name = token.name
            if not place_of(request.scope).known(name):
                log.warning("%s has too many connections", name)
                return PlainTextResponse("too many connections of one attempt\n", 503, {"Connection": "close"})
            attempt = self._attempts.of(token)
            if not await attempt.is_active():
                return self._revoked(attempt, request.method, path)
            return await self._relay(attempt, request, path)
        except BadToken as bad:
            reason = str(bad)
        except Refused as refused:
            reason = str(refused)
        except ApiUnavailable as unavailable:
            log.warning("%s: %s %r: the Prefect API is unavailable: %s", name, request.method, path[:200], unavailable)
            return _unavailable()
        except (ClientDisconnect, TimeoutError):
            reason = "its body was not received in time"
        log.warning("refused %s: %s %r: %s", name, request.method, path[:200], reason)
        return _denied(reason)

    async def _relay(self, attempt: Attempt, request: Request, path: str) -> Response:
        """Apply the rule of the call and relay it. Raises Refused, ApiUnavailable, ClientDisconnect, TimeoutError."""
        found = rule_for(request.method, path)
        if found is None:
            raise Refused(_NO_CALL)
        rule, id_ = found
        outcome = await rule(attempt, id_, _parsed(await _body_of(request)))
        if isinstance(outcome, Answer):
            return JSONResponse(outcome.body, outcome.status)
        response = await self._upstream.send(outcome.method, outcome.path, outcome.body)
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ApiUnavailable("it does not accept the controller's credentials")
        kept = {name: response.headers[name] for name in ("Content-Type", "Retry-After") if name in response.headers}
        return Response(response.content, response.status_code, headers=kept)

    def _revoked(self, attempt: Attempt, method: str, path: str) -> Response:
        log.warning("refused %s: %s %r: the token has expired or was revoked", attempt.name, method, path[:200])
        if path == f"/api/artifacts/{attempt.token.lease_id}":
            # The same answer as the API's, by which the agent recognizes that it is fenced off (node/agent/lease.py).
            return JSONResponse({"detail": "Artifact not found."}, 404)
        return _denied("the token has expired or was revoked")


def _token_of(request: Request) -> str:
    """Return the password of basic authentication; "" if missing, which is never a valid token."""
    received = credentials(request.headers.get("authorization", ""))
    user, _, password = received.partition(":")
    return password if user == USER and received.isascii() else ""


async def _body_of(request: Request) -> bytes:
    """Return the request's body. Raises Refused if it is too long, TimeoutError if it is too slow."""
    body = bytearray()
    async with asyncio.timeout(_BODY_S):
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY_BYTES:
                raise Refused(f"a body may have at most {MOST_BODY_BYTES} bytes")
    return bytes(body)


def _parsed(body: bytes) -> object:
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("the body is not valid JSON") from None


async def _no_such_call(_request: Request, _error: Exception) -> Response:
    return _denied(_NO_CALL)


def _denied(reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", 403)


def _unavailable() -> Response:
    return PlainTextResponse("the Prefect API does not answer\n", 502)  # the client retries on 502
