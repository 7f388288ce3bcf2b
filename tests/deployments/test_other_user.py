"""Another user of this computer can neither call the API nor read Spotwave's files."""

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
    """Return the calls by status of their responses."""
    statuses_of_user: dict[str, list[str]] = {}
    for method, path in calls:
        for auth in auths:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {"Content-Type": "application/json"}
            if auth is not None:
                headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
            connection.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None, headers)
            statuses_of_user.setdefault(str(connection.getresponse().status), []).append(f"{method} {path}")
            connection.close()
    return statuses_of_user


def opened(paths: Iterable[str]) -> list[str]:
    """Return the paths that can be listed, read, or written to."""
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
    """Return every call in the server's own description of Prefect's API, with an invalid id in the path."""
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


def test_all_calls_of_another_user_are_rejected(embedded: Embedded, calls: list[Call]) -> None:
    port = httpx.URL(embedded.api.url).port
    assert port is not None
    statuses(port, calls[:1], [None])  # so that late imports are done
    statuses_of_user = as_user(lambda: statuses(port, calls, [None, "spotwave:guess"]))
    assert list(statuses_of_user) == ["401"], {
        status: made[:5] for status, made in statuses_of_user.items() if status != "401"
    }
    assert len(statuses_of_user["401"]) == 2 * len(calls)
    ours = statuses(port, [("POST", "/api/block_documents/filter")], [auth_string(embedded.home)])
    assert list(ours) == ["200"]  # with the auth string, which gives access to all secrets


def test_another_user_cannot_read_or_write_any_file(embedded: Embedded) -> None:
    home = embedded.home
    paths = [str(path) for path in (home.path, *home.path.rglob("*"))]
    open_ = [
        path for path in paths if os.path.exists(path) and not os.path.islink(path) and os.stat(path).st_mode & 0o077
    ]
    assert open_ == []  # independent of the folders above, because of the umask of all started processes
    closed = {parent: parent.stat().st_mode for parent in home.path.parents if not parent.stat().st_mode & 0o005}
    try:
        for parent, mode in closed.items():  # open pytest's own folders, so that only Spotwave's permissions are tested
            parent.chmod(mode | 0o005)
        assert as_user(lambda: opened(paths)) == []
        assert as_user(lambda: opened([str(Path("/"))])) == ["/"]  # control: the check can also succeed
    finally:
        for parent, mode in closed.items():
            parent.chmod(mode)
