"""Another user of this computer: no call of his is answered, no file of ours can be read by him."""

from __future__ import annotations

import base64
import http.client
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from spotwave.blocks.access import basic
from spotwave.deployments.keys import auth_string
from tests.another_user import as_root, as_user
from tests.conftest import Embedded

pytestmark = [pytest.mark.slow, as_root]

Call = tuple[str, str]  # method, path


def statuses(port: int, calls: Iterable[Call], auths: Iterable[str | None]) -> dict[str, list[str]]:
    """status -> the calls that were answered so."""
    told: dict[str, list[str]] = {}
    for method, path in calls:
        for auth in auths:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {"Content-Type": "application/json"}
            if auth is not None:
                headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
            connection.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None, headers)
            told.setdefault(str(connection.getresponse().status), []).append(f"{method} {path}")
            connection.close()
    return told


def opened(paths: Iterable[str]) -> list[str]:
    """Which of these can be listed, read, or written to."""
    found = []
    for path in paths:
        for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
            try:
                os.close(os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK))
                found.append(path)
            except OSError:
                continue
    return found


@pytest.fixture(scope="module")
def calls(embedded: Embedded) -> list[Call]:
    """Every call of Prefect's API, as the server itself describes them; what stands in a path's place is no id."""
    header = {"Authorization": basic(auth_string(embedded.home))}
    address = f"{embedded.api.url.removesuffix('/api')}/openapi.json"
    schema: dict[str, Any] = httpx.get(address, headers=header, timeout=60, trust_env=False).json()
    found = [
        (method.upper(), f"/api{path.replace('{', '').replace('}', '').removeprefix('/api')}")
        for path, methods in schema["paths"].items()
        for method in methods
    ]
    assert len(found) > 150
    return found


def test_every_call_of_another_user_is_refused(embedded: Embedded, calls: list[Call]) -> None:
    port = httpx.URL(embedded.api.url).port
    assert port is not None
    statuses(port, calls[:1], [None])  # whatever is imported late is here now
    told = as_user(lambda: statuses(port, calls, [None, "spotwave:guess"]))
    assert list(told) == ["401"], {status: made[:5] for status, made in told.items() if status != "401"}
    assert len(told["401"]) == 2 * len(calls)
    ours = statuses(port, [("POST", "/api/block_documents/filter")], [auth_string(embedded.home)])
    assert list(ours) == ["200"]  # which has all secrets


def test_no_file_of_ours_can_be_read_or_written_by_another_user(embedded: Embedded) -> None:
    home = embedded.home
    paths = [str(path) for path in (home.path, *home.path.rglob("*"))]
    open_ = [
        path for path in paths if os.path.exists(path) and not os.path.islink(path) and os.stat(path).st_mode & 0o077
    ]
    assert open_ == []  # whatever stands above it: the umask of all that we start
    closed = {parent: parent.stat().st_mode for parent in home.path.parents if not parent.stat().st_mode & 0o005}
    try:
        for parent, mode in closed.items():  # pytest's own: not they shall keep him out, but ours
            parent.chmod(mode | 0o005)
        assert as_user(lambda: opened(paths)) == []
        assert as_user(lambda: opened([str(Path("/"))])) == ["/"]  # the question can be answered otherwise
    finally:
        for parent, mode in closed.items():
            parent.chmod(mode)
