"""The settings with which a machine's processes reach the Prefect API, from the machine's secrets."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from spotwave.node.contract import SECRET_API

CA_FILE = "api-ca.pem"  # where the API's certificate is of an authority of the user's own (blocks/tls.py)
ENV_CA = "PREFECT_API_SSL_CERT_FILE"  # Prefect's clients then trust that alone, for HTTP and websockets (3.9.1)


def api_settings(secrets: Path) -> dict[str, str]:
    """The environment of worker and engine. Raises OSError, ValueError for a file that is none of ours."""
    settings = {key: str(value) for key, value in json.loads((secrets / SECRET_API).read_text()).items()}
    authority = secrets / CA_FILE
    if authority.is_file():
        return {**settings, ENV_CA: str(authority)}
    # On the controller's own computer: its file, where that is too long to be sent (blocks/local/machines.py).
    return {**settings, ENV_CA: os.environ[ENV_CA]} if os.environ.get(ENV_CA) else settings


def trusted(settings: Mapping[str, str]) -> ssl.SSLContext | None:
    """For the standard library's own HTTPS, the same; None: what the system trusts."""
    authority = settings.get(ENV_CA)
    return ssl.create_default_context(cafile=authority) if authority else None
