"""Links that log a browser in to the embedded server (deployments/login.py), and opening them."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from pathlib import Path
from urllib.parse import urlencode

import httpx

from spotwave.blocks.access import basic
from spotwave.deployments.api import Api
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string
from spotwave.deployments.login import LOGIN_PATH, TICKETS_PATH

_CALL_S = 10.0


def link(api: Api, home: Home, page: str = "/") -> str:
    """Return the address of a page of the UI, for the embedded server with a token that logs a browser in once.

    Without a token if the server does not answer.
    """
    plain = f"{api.ui_url}{page}"
    if not api.embedded:
        return plain
    root = api.url.removesuffix("/api")
    try:
        with httpx.Client(trust_env=False, timeout=_CALL_S) as client:  # no proxy for 127.0.0.1
            response = client.post(f"{root}{TICKETS_PATH}", headers={"Authorization": basic(auth_string(home))})
            ticket = str(response.raise_for_status().json()["ticket"])
    except httpx.HTTPError:
        return plain
    query = {"ticket": ticket} | ({"next": page} if page != "/" else {})
    return f"{root}{LOGIN_PATH}?{urlencode(query, safe='/')}"


def run_page(flow_run_id: object) -> str:
    return f"/runs/flow-run/{flow_run_id}"


def open_in_browser(address: str, home: Home) -> bool:
    """Open an address in the user's browser; return False if there is no browser.

    The address is passed in a file that only the user can read, because every user can see a process's arguments.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False  # a text browser would take over the terminal
    page = _redirect(home, address)
    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False


def _redirect(home: Home, address: str) -> Path:
    path = home.run / "open.html"
    path.unlink(missing_ok=True)
    escaped = html.escape(address, quote=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={escaped}">')
    return path
