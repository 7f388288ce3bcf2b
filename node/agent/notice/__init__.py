"""Watchers for a cloud's interruption notice, one per cloud, all with `poll()` and `hint()`."""

from __future__ import annotations

import os
from pathlib import Path

from spotwave.node.agent.notice.watcher import NoNotice, Notice, NoticeWatcher
from spotwave.node.contract import ENV_NOTICE

__all__ = ["ENV_CLOUD", "NoNotice", "Notice", "NoticeWatcher", "notice_watcher"]

ENV_CLOUD = "SPOTWAVE_CLOUD"


def notice_watcher(notice_s: float | None = None) -> NoticeWatcher:
    """Start and return the watcher for this machine's cloud, as given by its environment.

    notice_s: seconds that the cloud promises between notice and loss (`Brief.notice_s`); None: the cloud's usual.
    """
    # Imported per branch: a machine needs only its own cloud's watcher.
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
