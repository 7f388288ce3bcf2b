"""Attacks on the guard of the embedded server; the application behind it returns the headers that it receives."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from spotwave.blocks.access import basic
from spotwave.deployments import login
from spotwave.deployments.guard import Guard
from tests.security.rows import Row

AUTH = "spotwave:a-password-that-is-as-long-as-ours-are"
HOST = "http://127.0.0.1:4200"


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"authorization": request.headers.getlist("authorization")})


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def _client(base: str = HOST) -> TestClient:
    routes = [WebSocketRoute("/api/events/in", _socket), Route("/{path:path}", _echo, methods=["GET", "POST"])]
    return TestClient(Guard(Starlette(routes=routes), AUTH), base_url=base, follow_redirects=False)


@pytest.fixture
def client() -> TestClient:
    return _client()


def _ticket(client: TestClient) -> str:
    answer = client.post(login.TICKETS_PATH, headers={"Authorization": basic(AUTH)})
    assert answer.status_code == 200
    return str(answer.json()["ticket"])


def _logged_in(client: TestClient, page: str = "/") -> str:
    """Open a login link, and return the page's half of the session. The client keeps the cookie."""
    answer = client.get(login.LOGIN_PATH, params={"ticket": _ticket(client), "next": page})
    assert answer.status_code == 200
    stored = re.search(r'setItem\("prefect-password", ("[^"]+")\)', answer.text)
    assert stored is not None
    return str(json.loads(stored[1]))


@dataclass(frozen=True)
class Try:
    """A request of a client that is not logged in, and the expected status."""

    row: Row
    made: Callable[[TestClient], httpx.Response]
    status: int


def _as_basic(page: str) -> dict[str, str]:
    return {"Authorization": f"Basic {page}"}


def _one_half_of_another_session(client: TestClient) -> httpx.Response:
    page = _logged_in(_client())
    _logged_in(client)  # the cookie is of this session
    return client.get("/api/flow_runs", headers=_as_basic(page))


def _the_cookie_as_the_page_half(client: TestClient) -> httpx.Response:
    _logged_in(client)
    cookie = next(iter(client.cookies.values()))
    stolen = base64.b64encode(f"browser:{cookie}".encode()).decode()
    return client.get("/api/flow_runs", headers=_as_basic(stolen))


def _forged(client: TestClient) -> httpx.Response:
    """Both halves, signed with another key."""
    session = login.new_session("spotwave:another-password-of-the-same-length")
    client.cookies.set("spotwave-4200", session.cookie)
    return client.get("/api/flow_runs", headers=_as_basic(session.page))


def _unsigned(client: TestClient) -> httpx.Response:
    halves = [
        jwt.encode({"sid": "x", "exp": 9999999999, "half": half}, "", algorithm="none") for half in ("cookie", "page")
    ]
    client.cookies.set("spotwave-4200", halves[0])
    return client.get("/api/flow_runs", headers=_as_basic(base64.b64encode(f"browser:{halves[1]}".encode()).decode()))


def _twice(client: TestClient) -> httpx.Response:
    link = {"ticket": _ticket(client)}
    client.get(login.LOGIN_PATH, params=link)
    client.cookies.clear()  # another browser
    return client.get(login.LOGIN_PATH, params=link)


def _foreign_host(client: TestClient) -> httpx.Response:
    """Send the Host header of a page whose name resolves to this computer (DNS rebinding), without the password."""
    return client.get("/api/flow_runs", headers={"Host": "evil.example:4200"})


WHERE = "the embedded server"
REFUSED = "401"
TRIES = [
    Try(Row(WHERE, "a call without a password", REFUSED), lambda c: c.get("/api/flow_runs"), 401),
    Try(Row(WHERE, "a request for its health", REFUSED), lambda c: c.get("/api/health"), 401),
    Try(
        Row(WHERE, "a wrong password", REFUSED),
        lambda c: c.get("/api/flow_runs", headers={"Authorization": basic("spotwave:wrong")}),
        401,
    ),
    Try(
        Row(WHERE, "a password that is not UTF-8", REFUSED),
        lambda c: c.get("/api/flow_runs", headers=_as_basic(base64.b64encode(b"\xff\xfe").decode())),
        401,
    ),
    Try(Row(WHERE, "the host of another name, by DNS rebinding", REFUSED), _foreign_host, 401),
    Try(
        Row(WHERE, "the host of another name, with the password", "421"),
        lambda c: c.get("/api/flow_runs", headers={"Host": "evil.example", "Authorization": basic(AUTH)}),
        421,
    ),
    Try(
        Row(WHERE, "a Host header with a path", REFUSED),
        lambda c: c.get("/api/flow_runs", headers={"Host": f"127.0.0.1:4200{login.LOGIN_PATH}?"}),
        401,
    ),
    Try(
        Row(WHERE, "a page with another host name requests the UI", "421"),
        lambda c: c.get("/", headers={"Host": "evil.example"}),
        421,
    ),
    Try(
        Row(WHERE, "a preflight of another page", "401, and nothing is allowed"),
        lambda c: c.options(
            "/api/flow_runs", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        ),
        401,
    ),
    Try(
        Row(WHERE, "the cookie alone, as a server on another port receives it", REFUSED),
        lambda c: (_logged_in(c), c.get("/api/flow_runs"))[1],
        401,
    ),
    Try(
        Row(WHERE, "the page's half alone, as a script in a page could steal it", REFUSED),
        lambda c: _client().get("/api/flow_runs", headers=_as_basic(_logged_in(c))),
        401,
    ),
    Try(Row(WHERE, "halves of two sessions", REFUSED), _one_half_of_another_session, 401),
    Try(Row(WHERE, "the cookie in the place of the page's half", REFUSED), _the_cookie_as_the_page_half, 401),
    Try(Row(WHERE, "a session signed with another key", REFUSED), _forged, 401),
    Try(Row(WHERE, "a session that is not signed", REFUSED), _unsigned, 401),
    Try(Row(WHERE, "a link that was used", "401, and how to get another one"), _twice, 401),
    Try(
        Row(WHERE, "a link with a guessed ticket", "401, and how to get another one"),
        lambda c: c.get(login.LOGIN_PATH, params={"ticket": "x" * 43}),
        401,
    ),
    Try(Row(WHERE, "a request for a ticket without credentials", REFUSED), lambda c: c.post(login.TICKETS_PATH), 401),
    Try(
        Row(WHERE, "a request for a ticket with the cookie alone", REFUSED),
        lambda c: (_logged_in(c), c.post(login.TICKETS_PATH))[1],
        401,
    ),
]
ROWS = [one.row for one in TRIES]


@pytest.mark.parametrize("tried", TRIES, ids=lambda one: one.row.attack)
def test_unauthorized_request_is_rejected(client: TestClient, tried: Try) -> None:
    answer = tried.made(client)
    assert answer.status_code == tried.status
    assert not [name for name in answer.headers if name.startswith("access-control-allow")]
    assert "authorization" not in answer.text  # the application was not reached


def test_password_and_complete_session_are_accepted(client: TestClient) -> None:
    response = client.get("/api/flow_runs", headers={"Authorization": basic(AUTH)})
    assert response.json() == {"authorization": [basic(AUTH)]}
    response = client.get("/api/flow_runs", headers=_as_basic(_logged_in(client)))
    assert response.json() == {"authorization": [basic(AUTH)]}  # Prefect checks the password again
    assert client.get("/api/health").status_code == 200  # Prefect's pages request it without the password
    restarted = _client()
    page = _logged_in(client)
    restarted.cookies = client.cookies
    assert restarted.get("/api/flow_runs", headers=_as_basic(page)).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "localhost:8888", "[::1]:4200", "127.0.0.1"])
def test_all_names_and_ports_of_this_computer_are_accepted(client: TestClient, host: str) -> None:
    assert client.get("/api/flow_runs", headers={"Host": host, "Authorization": basic(AUTH)}).status_code == 200


def test_cookie_is_http_only_and_same_site(client: TestClient) -> None:
    answer = client.get(login.LOGIN_PATH, params={"ticket": _ticket(client)})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert cookie.startswith("spotwave-")
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/runs/flow-run/1?tab=Logs", "/runs/flow-run/1?tab=Logs"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ('/</script><script>alert(1)//"', '/\\u003c/script>\\u003cscript>alert(1)//\\"'),
    ],
)
def test_login_link_redirects_only_to_this_server(client: TestClient, asked: str, goes: str) -> None:
    answer = client.get(login.LOGIN_PATH, params={"ticket": _ticket(client), "next": asked})
    assert f'location.replace("{goes}");</script>' in answer.text
    # The same link again with the cookie: redirects to the page without a second session.
    again = client.get(login.LOGIN_PATH, params={"ticket": "used", "next": asked})
    assert again.status_code == 303
    assert "evil" not in again.headers["location"]
    assert "prefect-password" not in again.text


def test_pages_cannot_be_framed_or_load_from_other_servers(client: TestClient) -> None:
    headers = client.get("/runs").headers
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null"])
def test_websocket_of_another_origin_is_rejected(client: TestClient, origin: str) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/events/in", headers={"Origin": origin}):
        pass


@pytest.mark.parametrize("headers", [{}, {"Origin": HOST}])
def test_other_websockets_are_passed_to_prefect(client: TestClient, headers: dict[str, str]) -> None:
    with client.websocket_connect("/api/events/in", headers={"Host": "127.0.0.1:4200", **headers}):
        pass


def test_tickets_expire_and_are_limited_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MOST_TICKETS", 3)
    tickets = login.Tickets()
    given = [tickets.new() for _ in range(4)]
    assert [tickets.use(one) for one in given] == [False, True, True, True]
    monkeypatch.setattr(login, "TICKET_S", -1.0)
    assert not tickets.use(tickets.new())
