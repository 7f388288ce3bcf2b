"""Who is believed to be the Prefect API: an authority of the user's own may have signed its TLS certificate."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx

from blocks.endpoints import is_loopback

FILE = "api-ca.pem"  #: in a machine's secrets folder; node/api_settings.py looks for it
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


def trusting(certificate: str | None) -> ssl.SSLContext | bool:
    """What httpx takes as `verify`: that authority alone, or True for those that everybody knows."""
    return ssl.create_default_context(cadata=certificate) if certificate else True


def status(url: str, headers: Mapping[str, str], certificate: str | None) -> int | str:
    """The HTTP status, or what kept it from coming, in words that cannot quote a header."""
    try:
        with httpx.Client(timeout=_ANSWER_S, trust_env=not is_loopback(url), verify=trusting(certificate)) as client:
            return client.get(url, headers=headers).status_code
    except httpx.HTTPError as error:
        return _UNKNOWN if "CERTIFICATE_VERIFY_FAILED" in str(error) else type(error).__name__
