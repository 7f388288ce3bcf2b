"""Browser login to the embedded server: a link that works once, then a session of two halves.

The first half is a cookie (HttpOnly, SameSite=Strict). It is not sufficient alone: browsers send a host's cookies to
all its ports, so a server that another user of this computer runs on 127.0.0.1 may receive it. The second half is in
the page's local storage, which belongs to this port alone. Prefect's pages send it as their password. It is not
sufficient alone either, so that a script injected into a page cannot steal a session.

Both are JWTs (RFC 7519) signed with the server's auth string. So a session survives a restart of the server, and ends
when the auth string changes.
"""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass, field

import jwt

LOGIN_PATH = "/spotwave/login"  #: ?ticket=...&next=/a/page
TICKETS_PATH = "/spotwave/tickets"  #: requested by POST, with the auth string

TICKET_S = 12 * 3600.0  #: how long an unused link is valid
SESSION_S = 14 * 24 * 3600  #: how long a browser stays logged in
MOST_TICKETS = 1000  #: if there are more, the oldest is dropped

_ALGORITHM = "HS256"
_PAGE_USER = "browser"


@dataclass(frozen=True)
class Session:
    """The two halves of a browser's session."""

    cookie: str
    page: str  #: as Prefect's pages keep a password: base64 of 'user:password'


@dataclass
class Tickets:
    """One-time tokens, kept in memory: a restart of the server invalidates them."""

    _until: dict[str, float] = field(default_factory=dict)  # ticket -> monotonic time

    def new(self) -> str:
        now = time.monotonic()
        self._until = {ticket: until for ticket, until in self._until.items() if until > now}
        while len(self._until) >= MOST_TICKETS:
            del self._until[next(iter(self._until))]
        ticket = secrets.token_urlsafe(32)
        self._until[ticket] = now + TICKET_S
        return ticket

    def use(self, ticket: str) -> bool:
        """Invalidate the ticket, and return whether it was valid."""
        return self._until.pop(ticket, 0.0) > time.monotonic()


def new_session(auth_string: str) -> Session:
    claims = {"sid": secrets.token_urlsafe(16), "exp": int(time.time()) + SESSION_S}
    cookie, page = (jwt.encode({**claims, "half": half}, auth_string, _ALGORITHM) for half in ("cookie", "page"))
    return Session(cookie, base64.b64encode(f"{_PAGE_USER}:{page}".encode()).decode())


def is_logged_in(cookie: str, basic: str, auth_string: str) -> bool:
    """Return whether the two halves belong to one session. basic: 'user:password' of the request's header."""
    user, _, page = basic.partition(":")
    first, second = _session_of(cookie, "cookie", auth_string), _session_of(page, "page", auth_string)
    return user == _PAGE_USER and first is not None and first == second


def is_session_cookie(cookie: str, auth_string: str) -> bool:
    return _session_of(cookie, "cookie", auth_string) is not None


def _session_of(text: str, half: str, auth_string: str) -> str | None:
    try:
        claims = jwt.decode(text, auth_string, algorithms=[_ALGORITHM], options={"require": ["sid", "exp", "half"]})
    except jwt.PyJWTError:
        return None
    return str(claims["sid"]) if claims["half"] == half else None
