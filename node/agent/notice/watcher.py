"""What every watcher of a machine's interruption notice is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Notice:
    """The machine will be lost at `time` (Unix seconds, by this machine's clock)."""

    time: float
    host_down: bool = False  # its host is stopped by its owner: no cloud takes it back

    @property
    def left_s(self) -> float:
        return max(0.0, self.time - time.time())


class NoticeWatcher(Protocol):
    """Knows what the cloud's metadata service last said. Never waits, never raises."""

    def poll(self) -> Notice | None:
        """The interruption notice, once it has been given."""

    def hint(self) -> str | None:
        """An early sign, for people and for a checkpoint ahead of time: a notice may follow, or may not."""


class NoNotice:
    """A cloud that gives none."""

    def poll(self) -> Notice | None:
        return None

    def hint(self) -> str | None:
        return None
