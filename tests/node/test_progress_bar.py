"""An unreachable or silent Prefect API must not block the work."""

from __future__ import annotations

import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from spotwave.node.runtime import progress_bar
from spotwave.node.runtime.progress_bar import ProgressBar


def test_the_work_does_not_wait_for_a_silent_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "END_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{silent.getsockname()[1]}/api"}):
            shown = ProgressBar()
            for percent in range(3):
                shown.show(percent, "step: on its way")
            connection, _ = silent.accept()
            shown.end()
        with connection:
            assert connection.recv(4), "the request was sent"
            assert shown._thread.is_alive(), "only the bar's own thread waits"


def test_an_unreachable_api_is_retried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        shown = ProgressBar()
        shown.show(1, "step: refused")
        with socket.create_server(("127.0.0.1", port)) as back:
            back.settimeout(30)
            shown.show(2, "step: answered")
            connection, _ = back.accept()
            with connection:
                assert connection.recv(4)
                connection.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        shown.end()
