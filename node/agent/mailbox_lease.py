"""The lease of a machine that reaches no Prefect API: a letter on the remote, and the run's record beside it.

A remote cannot append, so the record goes in numbered parts; the heartbeat, written after them, tells how many there
are. Three small calls of the remote a beat.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spotwave.node.agent.lease import Fenced
from spotwave.node.contract import FENCE_FILE, HEARTBEAT_FILE, RECORD_FILE, Lease, record_part
from spotwave.node.storage.remote import Remote

CALL_S = 30.0  # a beat that hangs must not be taken for death
MOST_BYTES = 1 << 20  # of one part


class RemoteLease:
    """Renews one lease, on the remote."""

    cheap = False

    def __init__(self, remote: Remote, work: Path, folder: str) -> None:
        self._remote = remote
        self._folder = folder
        self._record = work / RECORD_FILE
        self._sent = 0  # bytes
        self._parts = 0

    def renew(self, lease: Lease) -> None:
        """Raises Fenced, RemoteError."""
        if self._remote.read(f"{self._folder}/{FENCE_FILE}") is not None:
            raise Fenced
        while part := self._unsent():
            self._remote.write(f"{self._folder}/{record_part(self._parts + 1)}", part)
            self._parts += 1
            self._sent += len(part)
        told = replace(lease, records=self._parts)
        self._remote.write(f"{self._folder}/{HEARTBEAT_FILE}", told.to_json().encode())

    def _unsent(self) -> bytes:
        """The next whole lines, at least one if there is one."""
        if not self._record.exists():
            return b""
        part = bytearray()
        with self._record.open("rb") as record:
            record.seek(self._sent)
            for line in record:
                if not line.endswith(b"\n") or (part and len(part) + len(line) > MOST_BYTES):
                    break
                part += line
        return bytes(part)
