"""Azure notice: a Scheduled Event of type Preempt that names this machine; at least 30 seconds' notice.

The first call enables the service and may take two minutes. Events for other machines of a set and of other types
(Freeze, Reboot, Redeploy) are ignored.
Source: learn.microsoft.com, "Azure Metadata Service: Scheduled Events for Linux VMs".
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import ClassVar

from spotwave.node.agent.notice.metadata import Answer, MetadataNotice, Unexpected
from spotwave.node.agent.notice.watcher import Notice

_HEADERS = {"Metadata": "true"}
_FIRST_S = 150.0
_NAME = re.compile(r"[\w.-]{1,64}")


class AzureNotice(MetadataNotice):
    pause_s: ClassVar[float] = 1.0
    _name: str | None = None
    _answered = False

    def look(self) -> Notice | None:
        if self._name is None:
            query = "api-version=2021-02-01&format=text"
            answer = self._get(f"instance/compute/name?{query}", 10.0)
            if not _NAME.fullmatch(answer.text):
                raise Unexpected(answer)
            self._name = answer.text
        answer = self._get("scheduledevents?api-version=2020-07-01", 10.0 if self._answered else _FIRST_S)
        self._answered = True
        for event in json.loads(answer.text)["Events"]:
            named = [str(name).lower() for name in event.get("Resources", [])]
            if event["EventType"] == "Preempt" and self._name.lower() in named:
                # NotBefore is empty once the event has started, so the time is now.
                when = event["NotBefore"]
                return self.at(parsedate_to_datetime(when).timestamp() if when else 0.0, answer)
        return None

    def _get(self, path: str, timeout_s: float) -> Answer:
        answer = self.ask(f"/metadata/{path}", _HEADERS, timeout_s=timeout_s)
        if answer.status != 200:
            raise Unexpected(answer)
        return answer
