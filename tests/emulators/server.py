"""Base of the emulated services: an HTTP server on the loopback that can be slow, throttled, broken or empty."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]  #: the first value of each
    headers: dict[str, str]  #: names in lower case
    body: bytes
    url: str  #: address of this server, e.g. http://127.0.0.1:4711


@dataclass(frozen=True)
class Response:
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False  #: send half of the body, then drop the connection
    lost: bool = False  #: drop the connection without an answer


Answer = Callable[[Request, Response], Response]


@dataclass
class Fault:
    """A fault for the next `times` calls that `meets` matches."""

    meets: Callable[[Request], bool]
    answer: Answer  #: called with the regular answer
    times: int = 10**9
    instead: bool = False  #: do not execute the call; otherwise only its answer is replaced


def cut() -> Answer:
    return lambda request, said: Response(said.body, said.status, said.content_type, said.headers, cut=True)


def lost() -> Answer:
    """Execute the call but drop the answer."""
    return lambda request, said: Response(b"", lost=True)


def garbage() -> Answer:
    return lambda request, said: Response(b"<html>it works!", content_type=said.content_type)


class Emulator(ABC):
    """A service; `with emulator: ...` serves it at `emulator.url`. Records its calls and their concurrency."""

    def __init__(self, latency_s: float = 0.0, listening: socket | None = None) -> None:
        """listening: a socket to serve on, if the address must be known before; else any free port."""
        self.latency_s = latency_s
        self.calls: list[str] = []  #: names of all calls
        self.most_at_once = 0
        self.away = False  #: drop every connection without executing the call
        self._at_once = 0
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self), bind_and_activate=listening is None)
        if listening is not None:
            self._server.socket = listening
            self._server.server_address = listening.getsockname()
            self._server.server_port = listening.getsockname()[1]
        self._server.daemon_threads = True

    @abstractmethod
    def answer(self, request: Request) -> Response:
        """Return the service's answer without faults."""

    @abstractmethod
    def name_of(self, request: Request) -> str:
        """The call's name for `calls` and for faults, e.g. 'DescribeSpotPriceHistory us-east-1'."""

    def forbidden(self, request: Request) -> Response | None:
        """Return the error for a caller without permission, before any fault; None if it is allowed."""
        return None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, fault: Fault) -> None:
        self._faults.append(fault)

    def heal(self) -> None:
        self._faults.clear()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, request: Request) -> Response:
        with self._lock:
            self.calls.append(self.name_of(request))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            fault = next((one for one in self._faults if one.times > 0 and one.meets(request)), None)
            if fault is not None:
                fault.times -= 1
        try:
            if self.away:
                return Response(b"", lost=True)
            # Simulates a slow service.
            time.sleep(self.latency_s)
            if (forbidden := self.forbidden(request)) is not None:
                return forbidden
            if fault is not None and fault.instead:
                return fault.answer(request, Response(b"{}"))
            said = self.answer(request)
            return said if fault is None else fault.answer(request, said)
        finally:
            with self._lock:
                self._at_once -= 1


class _Server(ThreadingHTTPServer):
    request_queue_size = 256


def _handler(emulator: Emulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            response = emulator.serve(
                Request(
                    method=self.command,
                    path=parts.path,
                    query={name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=self.rfile.read(length),
                    url=emulator.url,
                )
            )
            if response.lost:
                self.close_connection = True
                self.connection.shutdown(SHUT_RDWR)
                return
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":  # headers as for GET, without the body
                return
            if response.cut:
                self.wfile.write(response.body[: len(response.body) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(SHUT_RDWR)
                return
            self.wfile.write(response.body)
            self.wfile.flush()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:
            """Silent: `Emulator.calls` keeps the log."""

    return Handler
