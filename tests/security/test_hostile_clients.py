"""Clients that hold the proxy's connections: each connection is ended in time, and machines are answered meanwhile."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from spotwave.blocks.access import basic
from spotwave.deployments.proxy.listener import FIRST_MESSAGE_BYTES
from spotwave.deployments.proxy.log_limit import LogLimit
from spotwave.deployments.proxy.places import Limits
from tests.deployments.proxy.kit import eventually
from tests.security.flood import GARBAGE, HALF_BODY, HALF_HEADER, REQUESTS, UPGRADE, flooded
from tests.security.proxy_kit import FLOW, Guarded, guarded
from tests.security.rows import Row
from tests.security.tls_kit import authority

SHORT = Limits(unknown_s=1.0, request_s=1.5, idle_s=1.0, most_unknown=40, most_of_address=10, most_of_attempt=5)
IN_TIME_S = 6.0  # for deadlines of one or two seconds, on a busy computer
_PATH = f"/api/flows/{FLOW}".encode()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Guarded]:
    with guarded(SHORT) as found:
        yield found


@pytest.fixture(scope="module")
def patient() -> Iterator[Guarded]:
    """Yield a proxy with long deadlines, for tests of connection counts."""
    with guarded(replace(SHORT, unknown_s=60.0, request_s=60.0, idle_s=60.0)) as found:
        yield found


def _is_ended(data: bytes) -> Callable[[Guarded], None]:
    def attack(proxy: Guarded) -> None:
        assert proxy.ended(proxy.connect(data), IN_TIME_S)

    return attack


def _drips(proxy: Guarded) -> None:
    """Send half a header, and then byte after byte: this does not extend the deadline."""
    assert _refuses_more(proxy.connect(HALF_HEADER))


def _refuses_more(one: socket.socket) -> bool:
    """Return whether the proxy ends a connection in time that receives 20 bytes per second."""
    limit = time.monotonic() + IN_TIME_S
    while time.monotonic() < limit:
        try:
            one.sendall(b"x")
        except OSError:
            return True
        time.sleep(0.05)  # like a slow client
    return False


def _sends_no_message(proxy: Guarded) -> None:
    one = proxy.connect(UPGRADE)
    assert one.recv(12) == b"HTTP/1.1 101"
    assert proxy.ended(one, IN_TIME_S)


def _sends_long_message(proxy: Guarded) -> None:
    url = f"{proxy.url.replace('http', 'ws', 1)}/api/events/in"
    with connect(url, subprotocols=[Subprotocol("prefect")], proxy=None) as ws:
        ws.send("x" * (FIRST_MESSAGE_BYTES + 1))
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(IN_TIME_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009, "message too big (RFC 6455, 7.4.1)"


def _request(proxy: Guarded, *, path: bytes = _PATH, more: bytes = b"\r\n", method: bytes = b"GET") -> bytes:
    head = method + b" " + path + b" HTTP/1.1\r\nHost: proxy\r\n"
    return head + b"Authorization: " + basic(proxy.auth).encode() + b"\r\n" + more


def _known_sends_half_a_body(proxy: Guarded) -> None:
    data = _request(proxy, path=b"/api/logs/", more=b"Content-Length: 1000\r\n\r\n[{", method=b"POST")
    assert proxy.ended(proxy.connect(data), IN_TIME_S)


def _known_sends_half_a_second_request(proxy: Guarded) -> None:
    assert proxy.ended(proxy.connect(_request(proxy, path=b"/api/none") + HALF_HEADER), IN_TIME_S)


def _known_reads_no_answer(proxy: Guarded) -> None:
    assert _refuses_more(proxy.connect(_request(proxy) * 40))  # 40 MB of answers


def _known_takes_many_places(proxy: Guarded) -> None:
    """A connection of another attempt would still be answered, because connections are counted per attempt."""
    held = [proxy.connect(_request(proxy, path=b"/api/none")) for _ in range(SHORT.most_of_attempt)]
    assert {one.recv(12) for one in held} == {b"HTTP/1.1 403"}
    one_more = proxy.connect(_request(proxy, path=b"/api/none"))
    assert one_more.recv(12) == b"HTTP/1.1 503"
    for one in held:
        one.close()
    eventually("its places are free again", lambda: proxy.asked() == 200)


def _one_address_takes_all(proxy: Guarded) -> None:
    """The oldest connection of the same address is closed; connections of other addresses stay."""
    other = proxy.connect(b"GET /health HTTP/1.1\r\nHost: proxy\r\n", "127.0.0.2")
    flood = [proxy.connect(HALF_HEADER, "127.0.0.3") for _ in range(SHORT.most_unknown)]
    assert proxy.ended(flood[0], 20), "before its own deadline"
    other.sendall(b"\r\n")
    assert other.recv(12) == b"HTTP/1.1 200"


ATTACKS: list[tuple[Row, Callable[[Guarded], None]]] = [
    (Row("proxy", "a connection that sends nothing", "ended by its deadline"), _is_ended(b"")),
    (Row("proxy", "half a header", "ended by its deadline"), _is_ended(HALF_HEADER)),
    (Row("proxy", "half a header, then one byte 20 times a second", "ended by the same deadline"), _drips),
    (Row("proxy", "half a body, without a token", "rejected, ended by its deadline"), _is_ended(HALF_BODY)),
    (Row("proxy", "TLS to a proxy without TLS", "rejected, ended"), _is_ended(GARBAGE)),
    (Row("proxy", "50 requests with unread responses", "ended by its deadline"), _is_ended(REQUESTS)),
    (Row("proxy", "a websocket without a first message", "ended by its deadline"), _sends_no_message),
    (Row("proxy", "a websocket with a first message of 16 KB and more", "closed as too big"), _sends_long_message),
    (Row("proxy", "with a token: half a body", "ended by its deadline"), _known_sends_half_a_body),
    (Row("proxy", "with a token: half a second request", "ended by its deadline"), _known_sends_half_a_second_request),
    (Row("proxy", "with a token: 40 unread responses of 1 MB", "ended by its deadline"), _known_reads_no_answer),
    (Row("proxy", "with a token: more connections than a machine has", "503, for it alone"), _known_takes_many_places),
    (Row("proxy", "one address takes all places", "its oldest connection is closed"), _one_address_takes_all),
]  # fmt: skip
COUNTED = (_known_takes_many_places, _one_address_takes_all)
_FLOOD = Row("proxy", "300 half-open connections, reopened when ended", "requests of machines are answered")
_TLS = Row("proxy with TLS", "300 connections without a TLS handshake", "ended; requests of machines are answered")
_LOG = Row("proxy's log", "100,000 rejections in a second", "20 lines, and the number of omitted lines")
ROWS = [row for row, _ in ATTACKS] + [_FLOOD, _TLS, _LOG]


@pytest.mark.parametrize(("row", "attack"), ATTACKS, ids=[str(row) for row, _ in ATTACKS])
def test_connection_is_ended(row: Row, attack: Callable[[Guarded], None], proxy: Guarded, patient: Guarded) -> None:
    attack(patient if attack in COUNTED else proxy)


def test_machine_is_answered_during_flood() -> None:
    with guarded(Limits()) as proxy, flooded(proxy.port, 300) as opened:
        eventually("the flood is there", lambda: opened.value >= 300)
        assert [proxy.asked() for _ in range(5)] == [200] * 5
        url = f"{proxy.url.replace('http', 'ws', 1)}/api/events/in"
        with connect(url, subprotocols=[Subprotocol("prefect")], proxy=None) as ws:
            ws.send(json.dumps({"type": "auth", "token": proxy.auth}))
            with pytest.raises(ConnectionClosed) as caught:
                ws.recv(20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.reason == "the Prefect API is unavailable", "accepted; this API has no websockets"


def test_flood_with_tls(tmp_path: Path) -> None:
    own = authority(tmp_path / "authority")
    trusting = ssl.create_default_context(cafile=str(own.file))
    files = own.folder / "fullchain.pem", own.folder / "privkey.pem"
    with guarded(replace(SHORT, most_unknown=200, unknown_s=2.0), *files) as proxy, ExitStack() as left:
        silent = [proxy.connect() for _ in range(300)]
        assert proxy.asked(trusting) == 200
        assert all(proxy.ended(one, IN_TIME_S) for one in silent)
        # After the handshake, with half a header.
        one = left.enter_context(trusting.wrap_socket(proxy.connect(), server_hostname="127.0.0.1"))
        one.sendall(HALF_HEADER)
        assert proxy.ended(one, IN_TIME_S)
        assert proxy.asked(trusting) == 200


def test_log_cannot_be_flooded() -> None:
    sparing = LogLimit()
    record = logging.makeLogRecord({"name": "spotwave.deployments.proxy.app", "msg": "refused %s", "args": ("x",)})
    assert sum(sparing.filter(record) for _ in range(100_000)) == 20
    other = logging.makeLogRecord({"name": "spotwave.deployments.proxy.app", "msg": "%s is away", "args": ("x",)})
    assert sparing.filter(other), "another kind of line"
