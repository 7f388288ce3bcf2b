"""Google Cloud notice: `instance/preempted` turns TRUE, without a time.

The machine is lost 30 seconds later, or after the notice period set in its scheduling options. The GET request hangs
until the value changes.

Source: cloud.google.com, "Spot VMs: handle preemption" and "Wait for metadata value changes".
"""

from __future__ import annotations

import time
from typing import ClassVar

from spotwave.node.agent.notice.metadata import MetadataNotice, Unexpected
from spotwave.node.agent.notice.watcher import Notice

_HANG_S = 60


class GcpNotice(MetadataNotice):
    pause_s: ClassVar[float] = 1.0  # no change during the pause is missed, since the request carries the last etag
    _etag = "0"  # matches no value, so that the first answer comes at once

    def look(self) -> Notice | None:
        path = "/computeMetadata/v1/instance/preempted"
        query = f"wait_for_change=true&timeout_sec={_HANG_S}&last_etag={self._etag}"
        answer = self.ask(f"{path}?{query}", {"Metadata-Flavor": "Google"}, timeout_s=_HANG_S + 15)
        if answer.status != 200 or answer.text.strip() not in ("TRUE", "FALSE"):
            raise Unexpected(answer)
        self._etag = answer.etag or "0"
        return Notice(time.time() + self._notice_s) if answer.text.strip() == "TRUE" else None
