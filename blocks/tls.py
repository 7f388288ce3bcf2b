"""Who is believed to be the Prefect API: an authority of the user's own may have signed its TLS certificate."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx
from prefect.settings import get_current_settings

from spotwave.blocks.endpoints import is_loopback

FILE = "api-ca.pem"  #: in a machine's secrets folder; node/agent/api_settings.py looks for it
_LONGEST = 10_000  # characters; the vault that takes least has 25 kB for all secrets of a job
_ANSWER_S = 10.0
_UNKNOWN = "is not believed; ca: give the certificate of the authority that signed its own"
_REMEDY = "paste the PEM text of the authority's certificate (-----BEGIN CERTIFICATE-----)"


def checked(certificate: str) -> str | None:
    """None for an empty text. Raises ValueError for what is no certificate, or more than that."""
    text = certificate.strip()
    if not text:
        return None
    if "PRIVATE KEY" in text:
        raise ValueError(f"ca: there is a private key in it, which nobody but the authority may have; {_REMEDY}")
    if len(text) > _LONGEST:
        raise ValueError(f"ca: has {len(text)} characters, at most {_LONGEST} are sent to machines; {_REMEDY}")
    try:
        trusting(text)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"ca: cannot be read as a certificate; {_REMEDY}") from error
    return text + "\n"


def controllers_own() -> str | None:
    """The certificates by which the controller believes its Prefect API (PREFECT_API_SSL_CERT_FILE), as PEM text; None
    where it believes those whom everybody knows. Raises ValueError for a file that cannot be read.

    SSL_CERT_FILE, which Prefect takes where that is not set (3.9.1: settings/models/api.py), is as a rule the bundle of
    the system: machines of the local cloud inherit it, and for others it says nothing.
    """
    file = get_current_settings().api.ssl_cert_file
    if not file or file == os.environ.get("SSL_CERT_FILE"):
        return None
    try:
        return Path(file).read_text().strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"PREFECT_API_SSL_CERT_FILE: {file} cannot be read ({error}). Correct the setting.") from error


def sendable(certificate: str | None) -> str | None:
    """What of it is sent to machines: all, or nothing of a bundle, which those of the local cloud read themselves.

    Raises ValueError for what is no certificate.
    """
    return checked(certificate) if certificate and len(certificate) <= _LONGEST else None


def unshared(url: str, here: bool) -> str | None:
    """Why machines would not believe the API although the controller does, in a line for the user; None if they do.

    here: whether the machines run on this computer.
    """
    if get_current_settings().api.tls_insecure_skip_verify:
        return (
            f"ca: the controller believes {url} unseen (PREFECT_API_TLS_INSECURE_SKIP_VERIFY), which machines do not; "
            f"{_REMEDY}"
        )
    try:
        text = controllers_own()
        if text is not None and sendable(text) is None and not here:
            return f"ca: PREFECT_API_SSL_CERT_FILE has {len(text)} characters, too many for machines; {_REMEDY}"
    except ValueError as error:
        return str(error)
    return None


def trusting(certificate: str | None) -> ssl.SSLContext | bool:
    """What httpx takes as `verify`: that authority alone, or True for those that everybody knows."""
    return ssl.create_default_context(cadata=certificate) if certificate else True


def status(url: str, headers: Mapping[str, str], certificate: str | None) -> int | str:
    """The HTTP status, or what kept it from coming, in words that cannot quote a header."""
    try:
        with httpx.Client(timeout=_ANSWER_S, trust_env=not is_loopback(url), verify=trusting(certificate)) as client:
            return client.get(url, headers=headers).status_code
    except httpx.HTTPError as error:
        return _UNKNOWN if is_untrusted(error) else type(error).__name__


def is_untrusted(error: BaseException) -> bool:
    """Whether the server's certificate was refused. The cause of httpx's error is httpcore's, which has TLS's own error
    as its context alone: it is raised `from None`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
