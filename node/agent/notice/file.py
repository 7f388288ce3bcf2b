"""Notice of the local cloud: a file {"action": "terminate" or "shutdown", "time": <Unix seconds>}."""

from __future__ import annotations

import json
from pathlib import Path

from spotwave.node.agent.notice.watcher import Notice
from spotwave.node.contract import SHUTDOWN


class FileNotice:
    def __init__(self, path: Path) -> None:
        self._path = path

    def poll(self) -> Notice | None:
        try:
            data = json.loads(self._path.read_text())
        except FileNotFoundError:
            return None
        return Notice(float(data["time"]), host_down=data.get("action") == SHUTDOWN)

    def hint(self) -> str | None:
        return None
