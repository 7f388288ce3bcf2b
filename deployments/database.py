"""The embedded server's database: SQLite in the home, or the PostgreSQL named in Prefect's settings.

The setting is Prefect's own, PREFECT_SERVER_DATABASE_CONNECTION_URL (or its parts, PREFECT_SERVER_DATABASE_HOST
and so on), from any place where Prefect reads settings. The password is passed only to the server's environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect.settings import get_current_settings
from pydantic import SecretStr

from spotwave.deployments.home import Home

SETTING = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_SQLITE = "SQLite"
# Forty starting jobs use up Prefect's defaults of 5 and 10; a request that then waits for 30 s is answered with status
# 500. PostgreSQL allows 100 connections by default. 50 s is less than the minute that clients wait.
_CONNECTIONS = {
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "40",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_TIMEOUT": "50",
}
_LEAST_VERSION = 140009  # 14.9, the oldest that Prefect supports according to its documentation


class Unusable(Exception):
    """The database cannot be used. The message is one line for the user, without the password."""


@dataclass(frozen=True)
class Database:
    """A database. `place` is its description for users, without user name and password."""

    place: str
    url: SecretStr | None = None  #: None: SQLite in Prefect's default place

    @property
    def is_sqlite(self) -> bool:
        return self.url is None

    def defaults(self) -> dict[str, str]:
        """Return default settings for the server's process; the user's own settings override them."""
        return {} if self.is_sqlite else dict(_CONNECTIONS)

    def address(self) -> dict[str, str]:
        """Return the setting with the full address, including the password, for the server's process only."""
        return {} if self.url is None else {SETTING: self.url.get_secret_value()}


def chosen() -> Database:
    """Return the database in this process's settings. Raises Unusable if the address is not valid."""
    # Imported here: takes half a second, and is needed only to start a server.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    url = get_current_settings().server.database.connection_url
    assert url is not None  # Prefect fills in the address of its SQLite file
    try:
        parsed = make_url(url.get_secret_value())
    except (ArgumentError, ValueError) as error:
        # The message of the original error quotes the address with the password.
        raise Unusable(
            f"{SETTING} is not a valid database address. Give postgresql+asyncpg://user:password@host:5432/database."
        ) from error.__cause__
    if parsed.get_backend_name() == "sqlite":
        return Database(_SQLITE)
    if parsed.drivername != "postgresql+asyncpg":
        raise Unusable(f"{SETTING}: must start with 'postgresql+asyncpg://', not '{parsed.drivername}'.")
    return Database(f"PostgreSQL at {parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database}", url)


async def check(database: Database) -> None:
    """Check that PostgreSQL answers, is new enough and has the extension that Prefect's migrations need.

    Raises Unusable.
    """
    if database.url is None:
        return
    # Imported here, as above.
    import asyncpg
    from prefect.server.database.configurations import AsyncPostgresConfiguration
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

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
        ) from None  # the original error's text may contain the address
    finally:
        await engine.dispose()
    if version < _LEAST_VERSION:
        raise Unusable(f"{SETTING}: {database.place} is version {version // 10000}; Prefect needs 14.9 or later.")
    if not has_trigrams:
        raise Unusable(
            f"{SETTING}: {database.place} lacks the extension pg_trgm. Install PostgreSQL's contrib package there."
        )


def check_unchanged(home: Home, database: Database) -> None:
    """Check that the home's data are not in another PostgreSQL than the configured one.

    Another database has no record of the running jobs. A change from SQLite to PostgreSQL is allowed, and starts with
    an empty database. Raises Unusable.
    """
    before = in_use(home) or _SQLITE
    if before not in (_SQLITE, database.place):
        raise Unusable(
            f"{SETTING}: the server's data are in {before}, but the setting now names {database.place}. Restore the "
            f"setting, or remove {_note(home)} to start with another database (existing jobs are then not known)."
        )


def remember(home: Home, database: Database) -> None:
    """Record where the data are, without secrets."""
    _note(home).write_text(database.place + "\n")


def in_use(home: Home) -> str | None:
    """Return where this home's server keeps its data; None if no server was ever started."""
    return _note(home).read_text().strip() if _note(home).exists() else None


def _note(home: Home) -> Path:
    return home.run / "database"
