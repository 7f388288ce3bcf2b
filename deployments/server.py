"""The embedded Prefect server: listens on 127.0.0.1, runs until `down`, uses SQLite or the user's PostgreSQL.

It is started at most once per home (the caller holds the home's lock) and found again by its note. It uses the same
port as last time if that is free, so that bookmarks and open pages stay valid.
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
from spotwave.deployments.database import Database, Unusable
from spotwave.deployments.home import Home
from spotwave.deployments.keys import auth_string, encryption_key, fingerprint, forget_auth_string
from spotwave.deployments.processes import Note, end, has_ended, last_lines, start
from spotwave.deployments.server_settings import is_server_only

_HOST = "127.0.0.1"
_USUAL_PORT = 4200
_START_S = 120.0  # a new database takes 9 s on an idle machine, and longer on busy CI machines
_STOP_S = 10.0


def own_url(home: Home) -> str | None:
    """Return the address of this home's server, running or not; None if none was ever started."""
    port = _remembered_port(home)
    return _url(port) if port is not None else None


def running(home: Home) -> Note | None:
    """Return the note of the server if its process runs, else None."""
    note = Note.read(_note_path(home))
    return note if note is not None and note.process() is not None else None


def ensure(home: Home) -> tuple[Api, bool]:
    """Start the server if it does not run, and wait until it answers.

    Returns the embedded API, and whether the server was started. Raises Unavailable with the last log lines if the
    server ends or does not answer in time.
    """
    note = running(home)
    if note is not None and note.auth != fingerprint(auth_string(home)):
        stop(home)  # started by an earlier version, without a password
        note = None
    started = note is None
    chosen = _database(home, started)
    if note is None:
        note = _start(home, chosen)
    _wait_healthy(home, note)
    return Api(note.url, embedded=True), started


def place_of_data(home: Home) -> str:
    """Return a description for users of where the server keeps its data."""
    return database.in_use(home) or "SQLite"


def on_sqlite(home: Home) -> bool:
    """Return whether the server's data are in SQLite, which supports few jobs at once."""
    return place_of_data(home) == "SQLite"


def stop(home: Home) -> bool:
    """End the server with SIGTERM, then SIGKILL; return whether it was running."""
    note = running(home)
    process = note.process() if note else None
    if process is not None:
        end([process], grace_s=_STOP_S)
    _note_path(home).unlink(missing_ok=True)
    return process is not None


def _database(home: Home, to_start: bool) -> Database:
    """Return the configured database, checked if a server is to be started. Raises Unavailable."""
    try:
        chosen = database.chosen()
        if to_start:
            database.check_unchanged(home, chosen)
            asyncio.run(database.check(chosen))
        elif not chosen.is_sqlite and chosen.place != place_of_data(home):
            raise Unusable(
                f"{database.SETTING}: names {chosen.place}, but the server runs with {place_of_data(home)}. "
                "Run `spotwave down`, then `spotwave up`."
            )
    except Unusable as error:
        raise Unavailable(str(error)) from error
    return chosen


def _start(home: Home, data: Database) -> Note:
    remembered = _remembered_port(home)
    port = _choose_port(remembered)
    if remembered and port != remembered:
        # Another program listens on the old port, and may have received the password from commands.
        forget_auth_string(home)
    url, auth = _url(port), auth_string(home)
    environment = Api(url, embedded=True).environment(home)
    # The server process must not act as a client of another API.
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        environment.pop(name)
    environment |= data.defaults()
    environment |= {name: value for name, value in base_environment().items() if is_server_only(name)}
    environment |= data.address()
    environment |= {
        # Relative: otherwise the pages always use 127.0.0.1 and port 4200.
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
    with httpx.Client(trust_env=False, timeout=5) as client:  # no proxy for 127.0.0.1
        while True:
            try:
                # Without the password: another program might be listening on the port.
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
            # As the server itself binds, so that connections in TIME_WAIT from its last run do not block the port.
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
