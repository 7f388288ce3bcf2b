"""A log that cannot be flooded: whoever is refused ten times a second must not fill the disk with it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

_PERIOD_S = 10.0
_MOST = 20  # lines of one kind in a period


@dataclass
class _Kind:
    since: float
    told: int = 0
    left_out: int = 0


class LogLimit(logging.Filter):
    """Of each kind of line as many as one can read; then how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], _Kind] = {}  # by templates in the code, which are few

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        kind = self._kinds.setdefault((record.name, str(record.msg)), _Kind(now))
        if now - kind.since > _PERIOD_S:
            if kind.left_out:
                record.msg = f"{record.msg} (and {kind.left_out} more such lines before)"
            kind.since, kind.told, kind.left_out = now, 0, 0
        if kind.told >= _MOST:
            kind.left_out += 1
            return False
        kind.told += 1
        return True
