"""Prefect settings that are for the server only, and must not reach clients: they hold its passwords."""

from __future__ import annotations

from collections.abc import Mapping

# Settings that only a server needs: databases, queues and their passwords, and the password that clients must send.
_SERVER_ONLY = (
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_",
    "PREFECT_API_DATABASE_",
    "PREFECT_SERVER_DOCKET_",
    "PREFECT_REDIS_",
    "PREFECT_MESSAGING_",
)


def is_server_only(name: str) -> bool:
    """Return whether an environment variable is for the server only, not for clients."""
    return name.startswith(_SERVER_ONLY)


def without_server_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the settings that are for the server only."""
    return {name: value for name, value in environment.items() if not is_server_only(name)}
