"""One-line messages, with remedy, for a Prefect API that does not answer or rejects the credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
from prefect.settings import get_current_settings

from spotwave.blocks.tls import is_untrusted

_REASON_CHARS = 120


class Unavailable(Exception):
    """Something that a command needs is not running or rejects access. The message is for the user."""


@contextmanager
def plain_errors(url: str, embedded: bool) -> Iterator[None]:
    """Convert errors of Prefect's client into Unavailable if the API does not answer or rejects the credentials."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise
        raise Unavailable(rejected(url, embedded)) from error
    except httpx.TransportError as error:
        raise Unavailable(no_answer(url, embedded, error)) from error


def no_answer(url: str, embedded: bool, error: BaseException) -> str:
    """Return the message for an API that does not answer."""
    reason = " ".join(str(error).split())[:_REASON_CHARS] or type(error).__name__
    if embedded:
        return f"The Prefect server {url} does not answer ({reason}): `spotwave up` restarts it if it has ended."
    if is_untrusted(error):
        return (
            f"The configured Prefect API {url} has a certificate that is not trusted ({reason}): set "
            "PREFECT_API_SSL_CERT_FILE to a file with the certificate of the authority that signed it."
        )
    return (
        f"The configured Prefect API {url} does not answer ({reason}): start it, or unset PREFECT_API_URL "
        "(`prefect config view --show-sources` shows where it is set) to use the embedded server."
    )


def rejected(url: str, embedded: bool) -> str:
    """Return the message for an API that rejects the credentials."""
    if embedded:
        return f"The Prefect server {url} does not accept the password: run `spotwave down`, then `spotwave up`."
    own = get_current_settings().api
    if own.key:
        return (
            f"The configured Prefect API {url} does not accept PREFECT_API_KEY: correct it, or unset it if the server "
            "requires PREFECT_API_AUTH_STRING, which it overrides."
        )
    if own.auth_string:
        return (
            f"The configured Prefect API {url} does not accept PREFECT_API_AUTH_STRING: set it to the 'user:password' "
            "that the server was started with."
        )
    return (
        f"The configured Prefect API {url} requires credentials, and none are set: set PREFECT_API_AUTH_STRING to its "
        "'user:password', or PREFECT_API_KEY to the key of a Prefect Cloud account."
    )
