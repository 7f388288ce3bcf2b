"""Where the embedded server keeps its data: SQLite in the home, or the PostgreSQL that Prefect's settings name.

The setting is Prefect's own, PREFECT_SERVER_DATABASE_CONNECTION_URL (or its parts, PREFECT_SERVER_DATABASE_HOST
and so on), from wherever Prefect reads settings. Its password reaches the server's environment and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from prefect.settings import get_current_settings
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from spotwave.deployments.home import Home

SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_SQLITE = "SQLite"
# Settings that only a server needs: databases, queues and their passwords, and the password that it asks for.
_SERVERS_OWN = (
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_",
    "PREFECT_API_DATABASE_",
    "PREFECT_SERVER_DOCKET_",
    "PREFECT_REDIS_",
    "PREFECT_MESSAGING_",
)
# Prefect's own 5 and 10 are used up by forty jobs that start; who then waits for 30 s is answered with status 500.
# Of the 100 connections that PostgreSQL allows out of the box. 50 s: less than the minute for which clients wait.
_CONNECTIONS = {
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "40",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_TIMEOUT": "50",
}
_LEAST_VERSION = 140009  # 14.9, of which Prefect's documentation says that it is needed


class Unusable(Exception):
    """The database cannot be used; the message is one line for the user, without the password."""


@dataclass(frozen=True)
class Database:
    """A choice of database. `place` is for people: no user, no password."""

    place: str
    url: SecretStr | None = None  #: None: SQLite, where Prefect puts it

    @property
    def is_sqlite(self) -> bool:
        return self.url is None

    def defaults(self) -> dict[str, str]:
        """Settings for the server's process, where the user has none of his own."""
        return {} if self.is_sqlite else dict(_CONNECTIONS)

    def address(self) -> dict[str, str]:
        """For the server's process alone, whole: a password may have been given apart."""
        return {} if self.url is None else {SETTING: self.url.get_secret_value()}


def chosen() -> Database:
    """What the settings of this process name. Raises Unusable if it is no address of a database."""
    url = get_current_settings().server.database.connection_url
    assert url is not None  # Prefect fills in the address of its SQLite file
    try:
        parsed = make_url(url.get_secret_value())
    except (ArgumentError, ValueError) as error:
        # Its own message would quote the address, password and all.
        raise Unusable(
            f"{SETTING} is no address of a database. Give postgresql+asyncpg://user:password@host:5432/database."
        ) from error.__cause__
    if parsed.get_backend_name() == "sqlite":
        return Database(_SQLITE)
    if parsed.drivername != "postgresql+asyncpg":
        raise Unusable(f"{SETTING}: it begins with '{parsed.drivername}'. Prefect needs 'postgresql+asyncpg://'.")
    return Database(f"PostgreSQL at {parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database}", url)


def only_the_servers(name: str) -> bool:
    """Whether an environment variable is a server's business and no client's."""
    return name.startswith(_SERVERS_OWN)


def without_the_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a client has no business to know."""
    return {name: value for name, value in environment.items() if not only_the_servers(name)}


async def check(database: Database) -> None:
    """Raises Unusable if PostgreSQL does not answer, is too old or lacks what Prefect's migrations need."""
    if database.url is None:
        return
    # Half a second to import, and needed only where a server is to be started.
    from prefect.server.database.configurations import AsyncPostgresConfiguration

    engine = await AsyncPostgresConfiguration(database.url.get_secret_value()).engine()  # with its TLS settings
    try:
        async with engine.connect() as connection:
            version = int((await connection.execute(text("SHOW server_version_num"))).scalar_one())
            wanted = text("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
            has_trigrams = bool((await connection.execute(wanted)).scalar_one())
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise Unusable(
            f"{SETTING}: {database.place} cannot be used ({reason[:160]}). Start it, correct the setting, or unset it "
            "to use SQLite."
        ) from None  # whose text may hold the address
    finally:
        await engine.dispose()
    if version < _LEAST_VERSION:
        raise Unusable(f"{SETTING}: {database.place} is version {version // 10000}; Prefect needs 14.9 or later.")
    if not has_trigrams:
        raise Unusable(
            f"{SETTING}: {database.place} lacks the extension pg_trgm. Install PostgreSQL's contrib package there."
        )


def same_as_before(home: Home, database: Database) -> None:
    """Raises Unusable if this home's data are in a PostgreSQL that is not the one named now: another database knows
    nothing of the jobs that run. From SQLite to PostgreSQL is allowed, and begins anew."""
    before = in_use(home) or _SQLITE
    if before not in (_SQLITE, database.place):
        raise Unusable(
            f"{SETTING}: this home's server kept its data in {before}, and {database.place} is named now. Set it as "
            f"it was, or remove {_note(home)} to begin anew (no job is then known any more)."
        )


def remember(home: Home, database: Database) -> None:
    """Note where the data are; no secret."""
    _note(home).write_text(database.place + "\n")


def in_use(home: Home) -> str | None:
    """Where this home's server keeps its data, if it ever had one."""
    return _note(home).read_text().strip() if _note(home).exists() else None


def _note(home: Home) -> Path:
    return home.run / "database"
