"""Basic authentication (RFC 7617), as Prefect's clients send it."""

from __future__ import annotations

import base64


def basic(auth_string: str) -> str:
    """The Authorization header of 'user:password'."""
    return "Basic " + base64.b64encode(auth_string.encode()).decode()


def credentials(header: str) -> str:
    """'user:password' of an Authorization header; '' for anything else."""
    scheme, _, told = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(told, validate=True).decode()
    except ValueError:
        return ""
