"""Interface of the interruption-notice watchers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Notice:
    """The machine will be lost at `time` (Unix seconds, by this machine's clock)."""

    time: float
    host_down: bool = False  # the owner shuts the host down; no cloud reclaims the machine

    @property
    def left_s(self) -> float:
        return max(0.0, self.time - time.time())


class NoticeWatcher(Protocol):
    """Holds the last answer of the cloud's metadata service. Its methods never block and never raise."""

    def poll(self) -> Notice | None:
        """Return the interruption notice, once there is one."""

    def hint(self) -> str | None:
        """Return an early warning, used for the log and an early copy. A notice may or may not follow."""


class NoNotice:
    """Watcher for a cloud without interruption notices."""

    def poll(self) -> Notice | None:
        return None

    def hint(self) -> str | None:
        return None
