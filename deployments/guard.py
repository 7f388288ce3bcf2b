"""What stands before the embedded Prefect server: who may call, from where, and how a browser logs in.

Prefect asks for the auth string by itself (3.9.1: server/api/server.py, token_validation), but lets /health and /ready
through, accepts every Host, and has no login but a field for the password. Here everything below /api takes the auth
string or a browser's session (deployments/login.py); requests for another host, which a page reaches by giving its own
name the address 127.0.0.1, and websockets of other pages are refused; and no page may show ours in a frame.
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

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})  #: any port: ssh may forward another one here

_API = "/api"
_HEALTH = ("/api/health", "/api/ready")  # asked by Prefect's pages without a password, which is their only fault
_STORED_AS = "prefect-password"  # by Prefect's pages, both versions of them (3.9.1)
# Of block types, as Prefect's own and its integrations name them; nobody else can put a picture there.
_LOGOS = "https://cdn.sanity.io/images/3ugk85nk/ https://raw.githubusercontent.com/PrefectHQ/"
# But for those, the pages load nothing from elsewhere: a picture in a text that a machine wrote tells nobody anything.
# Their styles are partly inline; of scripts only those of the server itself run, and what these compile: no
# `javascript:` link does.
_PAGES = "; ".join(
    (
        "default-src 'self'",
        f"img-src 'self' data: blob: {_LOGOS}",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "script-src 'self' 'unsafe-eval'",  # PixiJS, which draws a run's graph, compiles what it draws with
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
        if _below(scope["path"], _API):
            # From here on Prefect checks it once more, as it would any client's.
            scope["headers"] = [
                *_without(scope["headers"], b"authorization"),
                (b"authorization", basic(self._auth).encode()),
            ]
        await self._app(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """What is answered here; None: the request is for Prefect."""
        # Not request.url.path, which is put together from what the Host header says.
        path, ours = str(request.scope["path"]), _is_ours(request.headers)
        if path == LOGIN_PATH and ours:
            return self._login(request)
        if (_below(path, _API) or path == TICKETS_PATH) and not self._may(request):
            return JSONResponse({"exception_message": "Unauthorized"}, HTTPStatus.UNAUTHORIZED)
        if not ours:
            return JSONResponse({"exception_message": "This server is not that host"}, HTTPStatus.MISDIRECTED_REQUEST)
        if path == TICKETS_PATH:
            if request.method != "POST":
                return JSONResponse({"exception_message": "Ask by POST"}, HTTPStatus.METHOD_NOT_ALLOWED)
            return JSONResponse({"ticket": self._tickets.new()})
        return None

    def _may(self, request: Request) -> bool:
        """Whether the request has the auth string, or both halves of a session."""
        told = credentials(request.headers.get("authorization", ""))
        if hmac.compare_digest(told.encode(), self._auth.encode()):
            return True
        cookie = request.cookies.get(_cookie_name(request.scope), "")
        if request.scope["path"] in _HEALTH and is_session_cookie(cookie, self._auth):
            return True
        return is_logged_in(cookie, told, self._auth)

    def _login(self, request: Request) -> Response:
        """Opened by a link: a session for a ticket, and on to the page."""
        page = _local(request.query_params.get("next", "/"))
        answer: Response
        if self._tickets.use(request.query_params.get("ticket", "")):
            session = new_session(self._auth)
            nonce = secrets.token_urlsafe(16)
            # What stands in the page is base64 and a path, as JSON; "<" is the one character that could end the script.
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
            answer = RedirectResponse(page, HTTPStatus.SEE_OTHER)  # logged in already, by this link perhaps
        else:
            text = "<p>This link has been used, or is too old. <code>spotwave open</code> gives a new one.</p>"
            answer = HTMLResponse(_page("Spotwave: not logged in", text), HTTPStatus.UNAUTHORIZED)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Prefect asks for the auth string in a websocket's first message; no page of ours opens any."""
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
    """Whether it is this computer that is asked, and not a name that somebody has given its address."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname in HOSTS
    except ValueError:
        return False


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _without(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0].lower() != name]


def _cookie_name(scope: Scope) -> str:
    """With the port, since cookies of all servers of a host lie in one jar."""
    return f"spotwave-{(scope.get('server') or ('', 0))[1]}"


def _local(path: str) -> str:
    """A page of this server: '//host' and '/\\host' would be another's."""
    parts = urlsplit(path)
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if safe and not parts.scheme and not parts.netloc else "/"


def _page(title: str, body: str) -> str:
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><body>{body}</body></html>'
