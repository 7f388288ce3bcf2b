"""Files that agent and controller exchange through the remote when the Prefect API is unreachable."""

from __future__ import annotations

import logging
from pathlib import Path

from spotwave.node.contract import FENCE_FILE, HEARTBEAT_FILE, Fence
from spotwave.node.storage.remote import Remote, RemoteError

log = logging.getLogger("agent")


class AttemptFiles:
    """Reads and writes these files for one attempt. remote: a `Remote` with a short timeout."""

    def __init__(self, remote: Remote, work: Path, folder: str) -> None:
        self._remote = remote
        self._work = work
        self._folder = folder

    def heartbeat(self) -> None:
        """Copy the lease to the remote. If the API does not answer, the controller checks there before giving up."""
        try:
            self._remote.write(f"{self._folder}/{HEARTBEAT_FILE}", (self._work / HEARTBEAT_FILE).read_bytes())
        except (OSError, RemoteError) as error:
            log.warning("the heartbeat could not be written to the remote either: %s", error)

    def may_save_for(self) -> float:
        """Return for how many seconds a fenced-off agent may still save; 0 if it must not write anything."""
        try:
            content = self._remote.read(f"{self._folder}/{FENCE_FILE}")
            return Fence.from_json(content).save_s if content else 0.0
        except (RemoteError, ValueError) as error:
            log.warning("the fence file cannot be read, so nothing is saved: %s", error)
            return 0.0
