"""HTTP basic authentication (RFC 7617), as Prefect's clients send it."""

from __future__ import annotations

import base64


def basic(auth_string: str) -> str:
    """Return the Authorization header for 'user:password'."""
    return "Basic " + base64.b64encode(auth_string.encode()).decode()


def credentials(header: str) -> str:
    """Return 'user:password' from an Authorization header; '' for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return ""
