"""Prefect API settings of a machine's processes, read from the machine's secrets."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from spotwave.node.contract import SECRET_API

CA_FILE = "api-ca.pem"  # present if a private authority issued the API's certificate (blocks/tls.py)
ENV_CA = "PREFECT_API_SSL_CERT_FILE"  # Prefect's clients then trust only this file, for HTTP and websockets (3.9.1)


def api_settings(secrets: Path) -> dict[str, str]:
    """Return the environment of worker and engine. Raises OSError or ValueError if the file cannot be read."""
    settings = {key: str(value) for key, value in json.loads((secrets / SECRET_API).read_text()).items()}
    authority = secrets / CA_FILE
    if authority.is_file():
        return {**settings, ENV_CA: str(authority)}
    # A machine on the controller's computer uses its CA file if that is too long to send (blocks/local/machines.py).
    return {**settings, ENV_CA: os.environ[ENV_CA]} if os.environ.get(ENV_CA) else settings


def trusted(settings: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return an SSL context for urllib that trusts the same authority; None to use the system's authorities."""
    authority = settings.get(ENV_CA)
    return ssl.create_default_context(cafile=authority) if authority else None
