"""Resource Graph's table resourcechanges: creations and deletions, listed some time after they happened.

The real service takes up to five minutes. Only queries of the client's form are parsed, with Kusto's escapes.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime

from tests.emulators.azure_world import Row

_QUERY = re.compile(
    r"resourcechanges \| where properties\.targetResourceId =~ '(?P<id>(?:[^'\\]|\\.)*)' "
    r"and properties\.changeType == '(?P<kind>\w+)' \| project at = tostring\(properties\.changeAttributes\.timestamp\)"
)


class Changes:
    def __init__(self) -> None:
        self.lag_s = 2.0  #: time until a change is listed
        self._rows: list[tuple[float, Row]] = []
        self._lock = threading.Lock()

    def note(self, kind: str, id_: str, at: float | None = None) -> None:
        """Record a change. kind: "Create" or "Delete"; at: Unix seconds, now if None."""
        when = time.time() if at is None else at
        row = {
            "targetResourceId": id_,
            "changeType": kind,
            "targetResourceType": "microsoft.compute/virtualmachines",
            "changeAttributes": {
                "timestamp": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")[:23] + "0000Z",
                "clientType": "Unspecified",
                "changesCount": 0,
            },
            "changes": {},
        }
        with self._lock:
            self._rows.append((when, row))

    def rows(self, query: str) -> list[Row]:
        """Return the rows of a query, newest first."""
        found = _QUERY.fullmatch(query)
        assert found, f"the emulator does not understand {query}"
        wanted = re.sub(r"\\(.)", r"\1", found["id"]).lower()
        with self._lock:
            told = [row for when, row in self._rows if time.time() - when >= self.lag_s]
        return [
            {"at": row["changeAttributes"]["timestamp"]}
            for row in reversed(told)
            if row["targetResourceId"].lower() == wanted and row["changeType"] == found["kind"]
        ]
