"""The secrets of one home, made once each, in files that only the owner can read."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.fernet import Fernet

from spotwave.deployments.home import Home

USER = "spotwave"  #: the user's name in the auth string, whose form is 'user:password'


def encryption_key(home: Home) -> str:
    """The key that encrypts blocks at rest. Without it blocks cannot be read again."""
    return _kept(home.secrets / "encryption.key", Fernet.generate_key().decode())


def auth_string(home: Home) -> str:
    """What the embedded server asks of everybody (PREFECT_SERVER_API_AUTH_STRING): 'user:password', ASCII."""
    return _kept(_auth_file(home), f"{USER}:{secrets.token_urlsafe(32)}")


def known_auth_string(home: Home) -> str | None:
    """The same if it was made; None on a computer whose embedded server never ran."""
    path = _auth_file(home)
    return path.read_text().strip() if path.exists() else None


def forget_auth_string(home: Home) -> None:
    """Have a new one made: somebody else may have heard the old one. Safe to repeat."""
    _auth_file(home).unlink(missing_ok=True)


def fingerprint(secret: str) -> str:
    """Tells two random secrets apart, and says nothing of either."""
    return sha256(secret.encode()).hexdigest()[:16]


def _auth_file(home: Home) -> Path:
    return home.secrets / "auth.string"


def _kept(path: Path, fresh: str) -> str:
    """The secret in the file; `fresh`, kept there, if there is none. Raced, the first one counts."""
    if not path.exists():
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(fresh)
            with suppress(FileExistsError):
                os.link(part, path)  # whole or not at all, and never over another
        finally:
            os.unlink(part)
    return path.read_text().strip()
