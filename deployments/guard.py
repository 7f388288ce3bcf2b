"""Access control in front of the embedded Prefect server: authentication, Host and Origin checks, browser login.

Prefect checks the auth string on its own (3.9.1: server/api/server.py, token_validation), but leaves /health and
/ready open, accepts every Host, and has no login except a password field. Here everything below /api requires the auth
string or a browser's session (deployments/login.py). Requests with another Host are rejected (DNS rebinding: a web page
whose host name resolves to 127.0.0.1), as are websockets of other origins. No other page may embed the UI in a frame.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spotwave.blocks.basic_auth import basic, credentials
from spotwave.deployments.login import (
    LOGIN_PATH,
    SESSION_S,
    TICKETS_PATH,
    Tickets,
    is_logged_in,
    is_session_cookie,
    new_session,
)

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})  #: with any port, because ssh may forward another one

_API = "/api"
_HEALTH = ("/api/health", "/api/ready")  # Prefect's pages request these without the password
_STORED_AS = "prefect-password"  # key in the browser's storage that both versions of Prefect's pages read (3.9.1)
# Sources of the logos of Prefect's block types and integrations; only their owners can publish pictures there.
_LOGOS = "https://cdn.sanity.io/images/3ugk85nk/ https://raw.githubusercontent.com/PrefectHQ/"
# Otherwise the pages load nothing from other servers, so that a picture in a text written by a machine sends no request
# to anyone. Some styles are inline. Only scripts of the server itself run, and code that these compile; `javascript:`
# links do not run.
_PAGES = "; ".join(
    (
        "default-src 'self'",
        f"img-src 'self' data: blob: {_LOGOS}",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "script-src 'self' 'unsafe-eval'",  # PixiJS, which draws a run's graph, compiles code
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _PAGES,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware around Prefect's application."""

    def __init__(self, app: ASGIApp, auth_string: str) -> None:
        self._app = app
        self._auth = auth_string
        self._tickets = Tickets()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        answer = self._answer(request)
        if answer is not None:
            await answer(scope, receive, send)
            return
        if _is_below(scope["path"], _API):
            # Prefect then checks the auth string again, as for any client.
            scope["headers"] = [
                *_without(scope["headers"], b"authorization"),
                (b"authorization", basic(self._auth).encode()),
            ]
        await self._app(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """Return the response to a request that is not passed on; None if the request goes to Prefect."""
        # Not request.url.path, which is built from the Host header.
        path, ours = str(request.scope["path"]), _is_ours(request.headers)
        if path == LOGIN_PATH and ours:
            return self._login(request)
        if (_is_below(path, _API) or path == TICKETS_PATH) and not self._is_authorized(request):
            return JSONResponse({"exception_message": "Unauthorized"}, HTTPStatus.UNAUTHORIZED)
        if not ours:
            return JSONResponse({"exception_message": "Unknown host"}, HTTPStatus.MISDIRECTED_REQUEST)
        if path == TICKETS_PATH:
            if request.method != "POST":
                return JSONResponse({"exception_message": "Use POST"}, HTTPStatus.METHOD_NOT_ALLOWED)
            return JSONResponse({"ticket": self._tickets.new()})
        return None

    def _is_authorized(self, request: Request) -> bool:
        """Return whether the request has the auth string, or both halves of a session."""
        received = credentials(request.headers.get("authorization", ""))
        if hmac.compare_digest(received.encode(), self._auth.encode()):
            return True
        cookie = request.cookies.get(_cookie_name(request.scope), "")
        if request.scope["path"] in _HEALTH and is_session_cookie(cookie, self._auth):
            return True
        return is_logged_in(cookie, received, self._auth)

    def _login(self, request: Request) -> Response:
        """Exchange the ticket of a login link for a session, and redirect to the page."""
        page = _local_path(request.query_params.get("next", "/"))
        answer: Response
        if self._tickets.use(request.query_params.get("ticket", "")):
            session = new_session(self._auth)
            nonce = secrets.token_urlsafe(16)
            # The page contains base64 and a path, as JSON. Only "<" could end the script element, so it is escaped.
            stored, to = (json.dumps(text).replace("<", "\\u003c") for text in (session.page, page))
            script = f"localStorage.setItem({json.dumps(_STORED_AS)}, {stored}); location.replace({to});"
            answer = HTMLResponse(_page("Logging in", f'<script nonce="{nonce}">{script}</script>'))
            answer.headers["Content-Security-Policy"] = (
                f"default-src 'none'; script-src 'nonce-{nonce}'; frame-ancestors 'none'"
            )
            answer.set_cookie(
                _cookie_name(request.scope), session.cookie, max_age=SESSION_S, httponly=True, samesite="strict"
            )
        elif is_session_cookie(request.cookies.get(_cookie_name(request.scope), ""), self._auth):
            answer = RedirectResponse(page, HTTPStatus.SEE_OTHER)  # already logged in, perhaps with this link
        else:
            text = "<p>This link was used already or has expired. <code>spotwave open</code> gives a new one.</p>"
            answer = HTMLResponse(_page("Spotwave: not logged in", text), HTTPStatus.UNAUTHORIZED)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject websockets of other origins. Prefect checks the auth string in the first message.

        The UI's pages open no websockets.
        """
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if _is_ours(headers) and (origin is None or urlsplit(origin).netloc == headers.get("host")):
            await self._app(scope, receive, send)
            return
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: HTTP 403


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def _is_ours(headers: Headers) -> bool:
    """Return whether the Host header is one of HOSTS, not another name that resolves to this computer."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname in HOSTS
    except ValueError:
        return False


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _without(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0].lower() != name]


def _cookie_name(scope: Scope) -> str:
    """Return the cookie's name, with the port because browsers share the cookies of a host among all its ports."""
    return f"spotwave-{(scope.get('server') or ('', 0))[1]}"


def _local_path(path: str) -> str:
    """Return the path if it is on this server, else "/"; '//host' and '/\\host' would lead to another server."""
    parts = urlsplit(path)
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if safe and not parts.scheme and not parts.netloc else "/"


def _page(title: str, body: str) -> str:
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><body>{body}</body></html>'
