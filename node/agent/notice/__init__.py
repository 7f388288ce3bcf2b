"""How a machine learns that it will be taken back. One watcher per cloud, all with `poll()` and `hint()`."""

from __future__ import annotations

import os
from pathlib import Path

from spotwave.node.agent.notice.watcher import NoNotice, Notice, NoticeWatcher
from spotwave.node.contract import ENV_NOTICE

__all__ = ["ENV_CLOUD", "NoNotice", "Notice", "NoticeWatcher", "notice_watcher"]

ENV_CLOUD = "SPOTWAVE_CLOUD"


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
