"""How a machine learns that it will be taken back. One watcher per cloud, all with `poll()`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from node.contract import ENV_NOTICE


@dataclass(frozen=True)
class Notice:
    """The machine will be lost at `time` (Unix seconds)."""

    time: float

    @property
    def left_s(self) -> float:
        return max(0.0, self.time - time.time())


class NoticeWatcher(Protocol):
    """Asks the cloud's metadata service; cheap enough to be called every second."""

    def poll(self) -> Notice | None: ...


class NoNotice:
    """A cloud that gives none."""

    def poll(self) -> Notice | None:
        return None


class FileNotice:
    """The local cloud's metadata service: a file {"action": "terminate", "time": <Unix seconds>}."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def poll(self) -> Notice | None:
        try:
            data = json.loads(self._path.read_text())
        except FileNotFoundError:
            return None
        return Notice(float(data["time"]))


def notice_watcher() -> NoticeWatcher:
    """The watcher that this machine's environment asks for."""
    where = os.environ.get(ENV_NOTICE, "")
    return FileNotice(Path(where)) if where else NoNotice()
