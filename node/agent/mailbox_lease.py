"""The lease of a machine that cannot reach a Prefect API: a heartbeat file on the remote, next to the run's record.

A remote cannot append to files, so the record is sent in numbered parts. The heartbeat file is written after them and
holds their number. Each beat takes three small calls to the remote.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spotwave.node.agent.lease import Fenced
from spotwave.node.contract import FENCE_FILE, HEARTBEAT_FILE, RECORD_FILE, Lease, record_part
from spotwave.node.storage.remote import Remote

CALL_S = 30.0  # timeout of a call: if one hangs, the controller must not take the machine for lost
MOST_BYTES = 1 << 20  # largest part of a record


class RemoteLease:
    """Renews one lease on the remote."""

    cheap = False

    def __init__(self, remote: Remote, work: Path, folder: str) -> None:
        self._remote = remote
        self._folder = folder
        self._record = work / RECORD_FILE
        self._sent = 0  # bytes
        self._parts = 0

    def renew(self, lease: Lease) -> None:
        """Send new parts of the record, then the heartbeat. Raises Fenced, RemoteError."""
        if self._remote.read(f"{self._folder}/{FENCE_FILE}") is not None:
            raise Fenced
        while part := self._unsent():
            self._remote.write(f"{self._folder}/{record_part(self._parts + 1)}", part)
            self._parts += 1
            self._sent += len(part)
        updated = replace(lease, records=self._parts)
        self._remote.write(f"{self._folder}/{HEARTBEAT_FILE}", updated.to_json().encode())

    def _unsent(self) -> bytes:
        """Return the next complete lines up to MOST_BYTES; at least one line if one is complete."""
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
