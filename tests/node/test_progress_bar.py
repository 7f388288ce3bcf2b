"""A Prefect API that is away or does not answer must not hold up the work."""

from __future__ import annotations

import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from spotwave.node.runtime import progress_bar
from spotwave.node.runtime.progress_bar import ProgressBar


def test_an_api_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "END_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{silent.getsockname()[1]}/api"}):
            shown = ProgressBar()
            for percent in range(3):
                shown.show(percent, "step: on its way")
            heard, _ = silent.accept()
            shown.end()
        with heard:
            assert heard.recv(4), "it was tried"
            assert shown._thread.is_alive(), "and is waited for by nobody but its own thread"


def test_an_api_that_is_away_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        shown = ProgressBar()
        shown.show(1, "step: refused")
        with socket.create_server(("127.0.0.1", port)) as back:
            back.settimeout(30)
            shown.show(2, "step: answered")
            heard, _ = back.accept()
            with heard:
                assert heard.recv(4)
                heard.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        shown.end()
