"""TLS trust for the Prefect API, whose certificate may be signed by the user's own certificate authority."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx
from prefect.settings import get_current_settings

from spotwave.blocks.endpoints import is_loopback

FILE = "api-ca.pem"  #: in a machine's secrets folder; node/agent/api_settings.py looks for it
_LONGEST = 10_000  # characters; the smallest secret manager limit is 25 kB for all secrets of a job
_ANSWER_S = 10.0
_UNTRUSTED = "its certificate is not trusted; ca: give the certificate of the authority that signed it"
_REMEDY = "paste the PEM text of the authority's certificate (-----BEGIN CERTIFICATE-----)"


def checked(certificate: str) -> str | None:
    """Return the PEM text, None if it is empty. Raises ValueError if it is not just a certificate."""
    text = certificate.strip()
    if not text:
        return None
    if "PRIVATE KEY" in text:
        raise ValueError(f"ca: it contains a private key, which only the authority may have; {_REMEDY}")
    if len(text) > _LONGEST:
        raise ValueError(f"ca: it has {len(text)} characters, the maximum for machines is {_LONGEST}; {_REMEDY}")
    try:
        trusting(text)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"ca: cannot be read as a certificate; {_REMEDY}") from error
    return text + "\n"


def controllers_own() -> str | None:
    """Return the certificates that the controller trusts for its Prefect API (PREFECT_API_SSL_CERT_FILE), as PEM text;
    None if it trusts the public authorities. Raises ValueError if the file cannot be read.

    If that is not set, Prefect uses SSL_CERT_FILE (3.9.1: settings/models/api.py), which is usually the system's
    bundle: machines of the local cloud inherit it, and for other machines it does not matter.
    """
    file = get_current_settings().api.ssl_cert_file
    if not file or file == os.environ.get("SSL_CERT_FILE"):
        return None
    try:
        return Path(file).read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"PREFECT_API_SSL_CERT_FILE: {file} cannot be read ({error}). Correct the setting.") from error


def sendable(certificate: str | None) -> str | None:
    """Return the certificate text for machines; None for a large bundle, which local machines read themselves.

    Raises ValueError if it is not a certificate.
    """
    return checked(certificate) if certificate and len(certificate) <= _LONGEST else None


def unshared(url: str, here: bool) -> str | None:
    """Return why machines would not trust the API although the controller does, in one line; None if they would.

    here: whether the machines run on this computer.
    """
    if get_current_settings().api.tls_insecure_skip_verify:
        return (
            f"ca: the controller does not verify the certificate of {url} (PREFECT_API_TLS_INSECURE_SKIP_VERIFY), but "
            f"machines do; {_REMEDY}"
        )
    try:
        text = controllers_own()
        if text is not None and sendable(text) is None and not here:
            return f"ca: PREFECT_API_SSL_CERT_FILE has {len(text)} characters, too many for machines; {_REMEDY}"
    except ValueError as error:
        return str(error)
    return None


def trusting(certificate: str | None) -> ssl.SSLContext | bool:
    """Return a value for the `verify` of httpx: only that authority, or True for the public ones."""
    return ssl.create_default_context(cadata=certificate) if certificate else True


def status(url: str, headers: Mapping[str, str], certificate: str | None) -> int | str:
    """Return the HTTP status, or why there is none, in words that cannot quote a header."""
    try:
        with httpx.Client(timeout=_ANSWER_S, trust_env=not is_loopback(url), verify=trusting(certificate)) as client:
            return client.get(url, headers=headers).status_code
    except httpx.HTTPError as error:
        return _UNTRUSTED if is_untrusted(error) else type(error).__name__


def is_untrusted(error: BaseException) -> bool:
    """Whether the server's certificate was rejected. The cause of httpx's error is httpcore's, which is raised `from
    None`, so the TLS error is only found in its context."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
