"""A machine whose lease stands still is heard a second time, by the heartbeat that its agent leaves on the remote.

The API may be out of its reach (a proxy that is overrun, a route, a certificate) while it works on and saves its work.
Nothing is believed of its clock: what counts is that the number of beats has risen since the last look.
"""

from __future__ import annotations

from spotwave.node.contract import HEARTBEAT_FILE, Lease, attempt_dir
from spotwave.node.storage.remote import Remote


class RemoteHeartbeat:
    """Of one attempt; asked once a silence."""

    def __init__(self, attempt: int) -> None:
        self._path = f"{attempt_dir(attempt)}/{HEARTBEAT_FILE}"
        self._beat = 0

    def has_risen(self, remote: Remote, known: int) -> bool:
        """Whether the heartbeat is beyond the last one seen and beyond `known`, the last of the lease.

        False too where nobody can read it. Raises RemoteError.
        """
        told = remote.read(self._path)
        try:
            beat = Lease.from_json(told).beat if told else 0
        except ValueError:
            return False
        if type(beat) is not int or beat <= max(self._beat, known):
            return False
        self._beat = beat
        return True
