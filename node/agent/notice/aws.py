"""AWS notice: `spot/instance-action` answers 404 until the instance is marked; two minutes' notice, best effort.

Source: docs.aws.amazon.com, "Spot Instance interruption notices" (recommends a check every five seconds) and "EC2
instance rebalance recommendations".
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import ClassVar

from spotwave.node.agent.notice.metadata import Answer, MetadataNotice, Unexpected
from spotwave.node.agent.notice.watcher import Notice

_TTL_S = 21600


class AwsNotice(MetadataNotice):
    pause_s: ClassVar[float] = 5.0
    _token: str | None = None

    def look(self) -> Notice | None:
        action = self._get("spot/instance-action")
        if action is not None:
            return self.at(_seconds(json.loads(action.text)["time"]), action)
        if self._hint is None and (early := self._get("events/recommendations/rebalance")) is not None:
            since = json.loads(early.text)["noticeTime"]
            self._hint = f"AWS recommends to rebalance (since {since}): the risk of an interruption is elevated"
        return None

    def _get(self, path: str) -> Answer | None:
        """Return the answer, or None on 404. An expired token (401) is renewed once."""
        for _ in range(2):
            if self._token is None:
                self._token = self._new_token()
            answer = self.ask(f"/latest/meta-data/{path}", {"X-aws-ec2-metadata-token": self._token})
            if answer.status == 404:
                return None
            if answer.status == 200:
                return answer
            self._token = None
            if answer.status != 401:
                break
        raise Unexpected(answer)

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TTL_S)}
        answer = self.ask("/latest/api/token", headers, method="PUT")
        if answer.status != 200:
            raise Unexpected(answer)
        return answer.text


def _seconds(time: str) -> float:
    """Convert a time such as 2017-09-18T08:22:00Z to Unix seconds."""
    return datetime.fromisoformat(time).timestamp()
