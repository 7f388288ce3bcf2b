"""How a machine learns that it will be taken back. One watcher per cloud, all with `poll()` and `hint()`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spotwave.node.contract import ENV_NOTICE

ENV_CLOUD = "SPOTWAVE_CLOUD"


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


def notice_watcher(notice_s: float | None = None) -> NoticeWatcher:
    """The watcher that this machine's environment asks for, at work.

    notice_s: what the cloud promises between notice and loss (`Brief.notice_s`); None: its usual.
    """
    # Each in its own branch: a machine needs no other cloud's.
    cloud = os.environ.get(ENV_CLOUD, "")
    if cloud == "aws":
        from spotwave.node.agent.notice.aws import AwsNotice

        return AwsNotice(notice_s or 120.0).begin()
    if cloud == "gcp":
        from spotwave.node.agent.notice.gcp import GcpNotice

        return GcpNotice(notice_s or 30.0).begin()
    if cloud == "azure":
        from spotwave.node.agent.notice.azure import AzureNotice

        return AzureNotice(notice_s or 30.0).begin()
    if where := os.environ.get(ENV_NOTICE, ""):
        from spotwave.node.agent.notice.file import FileNotice

        return FileNotice(Path(where))
    return NoNotice()
