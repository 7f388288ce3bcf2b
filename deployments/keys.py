"""The secrets of a home: created once, in files that only the owner can read."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.fernet import Fernet

from spotwave.deployments.home import Home

USER = "spotwave"  #: the user in the auth string 'user:password'


def encryption_key(home: Home) -> str:
    """Return the key that encrypts blocks at rest. Without it stored blocks cannot be read."""
    return _read_or_create(home.secrets / "encryption.key", Fernet.generate_key().decode())


def auth_string(home: Home) -> str:
    """Return the credentials that the embedded server requires: 'user:password', ASCII.

    They are the server's PREFECT_SERVER_API_AUTH_STRING.
    """
    return _read_or_create(_auth_file(home), f"{USER}:{secrets.token_urlsafe(32)}")


def known_auth_string(home: Home) -> str | None:
    """Return the auth string if it exists; None if the embedded server never ran on this computer."""
    path = _auth_file(home)
    return path.read_text().strip() if path.exists() else None


def forget_auth_string(home: Home) -> None:
    """Delete the auth string, which another program may have received; the next use creates a new one."""
    _auth_file(home).unlink(missing_ok=True)


def fingerprint(secret: str) -> str:
    """Return a hash that distinguishes random secrets without revealing them."""
    return sha256(secret.encode()).hexdigest()[:16]


def _auth_file(home: Home) -> Path:
    return home.secrets / "auth.string"


def _read_or_create(path: Path, fresh: str) -> str:
    """Return the secret in the file; if the file is missing, write `fresh` first. In a race the first writer wins."""
    if not path.exists():
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(fresh)
            with suppress(FileExistsError):
                os.link(part, path)  # atomic, and never replaces an existing file
        finally:
            os.unlink(part)
    return path.read_text().strip()
