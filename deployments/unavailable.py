"""What keeps a Prefect API from answering, in one line with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
from prefect.settings import get_current_settings

from spotwave.blocks.tls import is_untrusted

_REASON_CHARS = 120


class Unavailable(Exception):
    """Something that a command needs does not run or refuses us; the message is what the user is told."""


@contextmanager
def told_plainly(url: str, embedded: bool) -> Iterator[None]:
    """For calls of Prefect's client. Raises Unavailable where the API at `url` does not answer, or lets nobody in with
    the credentials of the settings in use."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise
        raise Unavailable(refused(url, embedded)) from error
    except httpx.TransportError as error:
        raise Unavailable(silent(url, embedded, error)) from error


def silent(url: str, embedded: bool, error: BaseException) -> str:
    """The line for an API that does not answer."""
    reason = " ".join(str(error).split())[:_REASON_CHARS] or type(error).__name__
    if embedded:
        return f"The Prefect server {url} does not answer ({reason}): `spotwave up` starts it anew if it has ended."
    if is_untrusted(error):
        return (
            f"The configured Prefect API {url} has a certificate that is not believed ({reason}): give "
            "PREFECT_API_SSL_CERT_FILE a file with the certificate of the authority that signed it."
        )
    return (
        f"The configured Prefect API {url} does not answer ({reason}): start it, or unset PREFECT_API_URL "
        "(`prefect config view --show-sources` says where it is set) to use the embedded server."
    )


def refused(url: str, embedded: bool) -> str:
    """The line for an API that lets us not in."""
    if embedded:
        return f"The Prefect server {url} does not know our password: `spotwave down`, then `spotwave up`."
    own = get_current_settings().api
    if own.key:
        return (
            f"The configured Prefect API {url} does not accept PREFECT_API_KEY: correct it, or unset it if that "
            "server asks for PREFECT_API_AUTH_STRING, before which it goes."
        )
    if own.auth_string:
        return (
            f"The configured Prefect API {url} does not accept PREFECT_API_AUTH_STRING: give the 'user:password' that "
            "it was started with."
        )
    return (
        f"The configured Prefect API {url} asks for credentials, and none are set: give PREFECT_API_AUTH_STRING its "
        "'user:password', or PREFECT_API_KEY the key of a Prefect Cloud account."
    )
