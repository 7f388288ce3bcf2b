"""Google Cloud: `instance/preempted` turns TRUE, and the machine is lost 30 seconds later, or after the notice that
its scheduling asks for; no time is told. A hanging GET: the answer comes with the change.

Source: cloud.google.com, "Spot VMs: handle preemption" and "Wait for metadata value changes".
"""

from __future__ import annotations

import time
from typing import ClassVar

from spotwave.node.agent.notice.metadata import MetadataNotice, Unexpected
from spotwave.node.agent.notice.watcher import Notice

_HANG_S = 60


class GcpNotice(MetadataNotice):
    pause_s: ClassVar[float] = 1.0  # after an answer: the etag sees to it that no change falls into it
    _etag = "0"  # no value has it, so that the first answer comes at once

    def look(self) -> Notice | None:
        path = "/computeMetadata/v1/instance/preempted"
        query = f"wait_for_change=true&timeout_sec={_HANG_S}&last_etag={self._etag}"
        answer = self.ask(f"{path}?{query}", {"Metadata-Flavor": "Google"}, timeout_s=_HANG_S + 15)
        if answer.status != 200 or answer.text.strip() not in ("TRUE", "FALSE"):
            raise Unexpected(answer)
        self._etag = answer.etag or "0"
        return Notice(time.time() + self._notice_s) if answer.text.strip() == "TRUE" else None
