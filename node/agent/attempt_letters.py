"""What an agent and the controller leave for each other on the remote, where the API is out of reach."""

from __future__ import annotations

import logging
from pathlib import Path

from spotwave.node.contract import FENCE_FILE, HEARTBEAT_FILE, Fence
from spotwave.node.storage.remote import Remote, RemoteError

log = logging.getLogger("agent")


class AttemptLetters:
    """Those of one attempt. remote: of short patience."""

    def __init__(self, remote: Remote, work: Path, folder: str) -> None:
        self._remote = remote
        self._work = work
        self._folder = folder

    def heartbeat(self) -> None:
        """The API does not answer: the controller may look here before it gives this machine up."""
        try:
            self._remote.write(f"{self._folder}/{HEARTBEAT_FILE}", (self._work / HEARTBEAT_FILE).read_bytes())
        except (OSError, RemoteError) as error:
            log.warning("no heartbeat on the remote either: %s", error)

    def may_save_for(self) -> float:
        """The lease is gone: for how many seconds the agent may save; 0 if it must touch nothing more."""
        try:
            told = self._remote.read(f"{self._folder}/{FENCE_FILE}")
            return Fence.from_json(told).save_s if told else 0.0
        except (RemoteError, ValueError) as error:
            log.warning("why the lease is gone cannot be read: %s", error)
            return 0.0
