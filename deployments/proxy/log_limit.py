"""A rate limit for log lines, so that a client that is rejected ten times a second cannot fill the disk."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

_PERIOD_S = 10.0
_MOST = 20  # lines of one kind per period


@dataclass
class _Kind:
    since: float
    logged: int = 0
    left_out: int = 0


class LogLimit(logging.Filter):
    """Filter that passes a limited number of lines of each kind, and then reports how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], _Kind] = {}  # by message template; the code has few

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        kind = self._kinds.setdefault((record.name, str(record.msg)), _Kind(now))
        if now - kind.since > _PERIOD_S:
            if kind.left_out:
                record.msg = f"{record.msg} (after {kind.left_out} similar lines were left out)"
            kind.since, kind.logged, kind.left_out = now, 0, 0
        if kind.logged >= _MOST:
            kind.left_out += 1
            return False
        kind.logged += 1
        return True
