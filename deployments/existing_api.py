"""The API of an installation that is already up, for commands that start nothing."""

from __future__ import annotations

from spotwave.deployments import server
from spotwave.deployments.api import Api, Unavailable, configured_url
from spotwave.deployments.home import Home


def existing_api(home: Home) -> Api:
    """Return the API in use without starting anything. Raises Unavailable if none is configured or running."""
    url = configured_url(server.own_url(home))
    if url is not None:
        return Api(url, embedded=False)
    note = server.running(home)
    if note is None:
        raise Unavailable("Spotwave is not running: start it with `spotwave up`.")
    return Api(note.url, embedded=True)
