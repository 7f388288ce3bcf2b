"""The embedded Prefect server: on 127.0.0.1, running until `down`; its data in SQLite or in the user's PostgreSQL.

Started at most once per home (the caller holds the home's lock), found again by its note, and on the same
port as last time whenever that port is free, so that bookmarks and open pages stay good.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path

import httpx

from spotwave.deployments import database, installation
from spotwave.deployments.api import Api, Unavailable, base_environment
from spotwave.deployments.database import Database, Unusable, only_the_servers
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string, encryption_key, fingerprint, forget_auth_string
from spotwave.deployments.processes import Note, end, has_ended, last_lines, start

_HOST = "127.0.0.1"
_USUAL_PORT = 4200
_START_S = 120.0  # a fresh database takes 9 s on an idle machine; CI machines are not idle
_STOP_S = 10.0


def own_url(home: Home) -> str | None:
    """The address of this home's server, running or not; None if it never had one."""
    port = _remembered_port(home)
    return _url(port) if port is not None else None


def running(home: Home) -> Note | None:
    """The note on the server if its process runs."""
    note = Note.read(_note_path(home))
    return note if note is not None and note.process() is not None else None


def ensure(home: Home) -> tuple[Api, bool]:
    """The embedded API, started if need be, and whether it had to be; returns once it answers.

    Raises Unavailable with the last log lines if it ends or does not answer in time.
    """
    note = running(home)
    if note is not None and note.auth != fingerprint(auth_string(home)):
        stop(home)  # of an earlier version, which asks nobody for a password
        note = None
    started = note is None
    chosen = _database(home, started)
    if note is None:
        note = _start(home, chosen)
    _wait_healthy(home, note)
    return Api(note.url, embedded=True), started


def place_of_data(home: Home) -> str:
    """Where the server keeps its data, for people."""
    return database.in_use(home) or "SQLite"


def on_sqlite(home: Home) -> bool:
    """Whether the server's data are in SQLite, which carries few jobs at once."""
    return place_of_data(home) == "SQLite"


def stop(home: Home) -> bool:
    """End the server: SIGTERM, then SIGKILL. Returns whether one ran."""
    note = running(home)
    process = note.process() if note else None
    if process is not None:
        end([process], grace_s=_STOP_S)
    _note_path(home).unlink(missing_ok=True)
    return process is not None


def _database(home: Home, to_start: bool) -> Database:
    """The database that is named, known to work if a server is to be started. Raises Unavailable."""
    try:
        chosen = database.chosen()
        if to_start:
            database.same_as_before(home, chosen)
            asyncio.run(database.check(chosen))
        elif not chosen.is_sqlite and chosen.place != place_of_data(home):
            raise Unusable(
                f"{database.SETTING}: {chosen.place} is named, and the server runs with {place_of_data(home)}. "
                "`spotwave down`, then `spotwave up`."
            )
    except Unusable as error:
        raise Unavailable(str(error)) from error
    return chosen


def _start(home: Home, data: Database) -> Note:
    remembered = _remembered_port(home)
    port = _choose_port(remembered)
    if remembered and port != remembered:
        # Somebody else listens there, and commands that looked for our server may have told him the password.
        forget_auth_string(home)
    url, auth = _url(port), auth_string(home)
    environment = Api(url, embedded=True).environment(home)
    # The server must not take itself for a client of some API.
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        environment.pop(name)
    environment |= data.defaults()
    environment |= {name: value for name, value in base_environment().items() if only_the_servers(name)}
    environment |= data.address()
    environment |= {
        # Relative: else the pages ask port 4200, whatever the port, and 127.0.0.1, whatever name they were opened by.
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url.removesuffix("/api"),
        "PREFECT_SERVER_ENCRYPTION_KEY": encryption_key(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    command = [sys.executable, "-m", "spotwave.deployments.server_process", "server", "start"]
    command += ["--host", _HOST, "--port", str(port)]
    (home.run / "port").write_text(str(port))
    log = home.logs / "server.log"
    note = start(command, environment, cwd=home.prefect, log=log, url=url, auth=fingerprint(auth))
    note.write(_note_path(home))
    installation.note(home, "server")
    database.remember(home, data)
    return note


def _wait_healthy(home: Home, note: Note) -> None:
    deadline = time.monotonic() + _START_S
    with httpx.Client(trust_env=False, timeout=5) as client:  # a proxy has no business with 127.0.0.1
        while True:
            try:
                # Asked without the password: until it answers, it might not be our server that listens there.
                if client.get(f"{note.url}/health").status_code == httpx.codes.UNAUTHORIZED:
                    return
                problem = "is not healthy"
            except httpx.TransportError:
                problem = "does not answer"
            if has_ended(note):
                problem = "ended at once"
            elif time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            log = home.logs / "server.log"
            raise Unavailable(f"The embedded Prefect server {problem}. Last lines of {log}:\n{last_lines(log)}")


def _choose_port(remembered: int | None) -> int:
    for port in (_USUAL_PORT if remembered is None else remembered, 0):
        with socket.socket() as probe:
            # As the server itself binds: connections in TIME_WAIT from its last life do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable(f"No free port on {_HOST} for the embedded Prefect server.")


def _remembered_port(home: Home) -> int | None:
    try:
        return int((home.run / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _note_path(home: Home) -> Path:
    return home.run / "server.json"


def _url(port: int) -> str:
    return f"http://{_HOST}:{port}/api"
