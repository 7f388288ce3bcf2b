"""Second check of a machine whose lease is not renewed: the heartbeat that its agent leaves on the remote.

The machine may be cut off from the API (an overloaded proxy, a route, a certificate) while it works on and saves its
work. Its clock is not trusted: what counts is that the number of beats has increased since the last check.
"""

from __future__ import annotations

from spotwave.node.contract import HEARTBEAT_FILE, Lease, attempt_dir
from spotwave.node.storage.remote import Remote


class RemoteHeartbeat:
    """The remote heartbeat of one attempt; read once per silence."""

    def __init__(self, attempt: int) -> None:
        self._path = f"{attempt_dir(attempt)}/{HEARTBEAT_FILE}"
        self._beat = 0

    def has_risen(self, remote: Remote, known: int) -> bool:
        """Whether the heartbeat is beyond the last one seen and beyond `known`, the last one of the lease.

        False also if it is unreadable. Raises RemoteError.
        """
        content = remote.read(self._path)
        try:
            beat = Lease.from_json(content).beat if content else 0
        except ValueError:
            return False
        if type(beat) is not int or beat <= max(self._beat, known):
            return False
        self._beat = beat
        return True
