"""Operations of the emulated Compute Engine: work that continues after the answer, and a zone's log."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.emulators.gcp_answers import reply
from tests.emulators.server import Request, Response

_ORIGIN = "https://www.googleapis.com/compute/v1"
_WAIT_S = 5.0  # the real service holds a wait for two minutes


class Failed(Exception):
    """An operation's error."""

    def __init__(self, code: str, message: str, status: int, details: list[dict[str, Any]] | None = None) -> None:
        self.code, self.message, self.status = code, message, status
        self.details = details or []


class Operations:
    """Operations of one project."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, Any]] = {}  # oldest first
        self._done: dict[str, threading.Event] = {}

    def begin(self, zone: str, kind: str, target: str, work: Callable[[], None], delay_s: float) -> str:
        """Do the work in a separate thread after `delay_s`; it may raise Failed."""
        id_ = self.note(zone, kind, target, done=False)

        def run() -> None:
            said: dict[str, Any] = {}
            try:
                work()
            except Failed as failed:
                error = {"code": failed.code, "message": failed.message, "errorDetails": failed.details}
                said = {
                    "error": {"errors": [error]},
                    "httpErrorStatusCode": failed.status,
                    "httpErrorMessage": "SERVICE UNAVAILABLE",
                }
            finally:
                with self._lock:
                    self._rows[id_] |= {**said, "status": "DONE", "progress": 100, "endTime": now()}
                self._done[id_].set()

        timer = threading.Timer(delay_s, run)
        timer.daemon = True
        timer.start()
        return id_

    def note(self, zone: str, kind: str, target: str, done: bool = True) -> str:
        """Add an entry to the zone's log; target: e.g. 'instances/NAME'."""
        id_ = f"operation-{uuid.uuid4().hex[:12]}"
        place = f"{_ORIGIN}/projects/{self._project}/zones/{zone}"
        with self._lock:
            self._rows[id_] = {
                "name": id_,
                "operationType": kind,
                "status": "DONE" if done else "RUNNING",
                "zone": place,
                "targetLink": f"{place}/{target}",
                "insertTime": now(),
            }
            self._done[id_] = threading.Event()
        if done:
            self._done[id_].set()
        return id_

    def show(self, id_: str) -> Response:
        with self._lock:
            return reply(self._rows[id_])

    def wait(self, id_: str) -> Response:
        self._done[id_].wait(_WAIT_S)
        return self.show(id_)

    def list(self, request: Request, zone: str) -> Response:
        kinds = re.findall(r'operationType = "([^"]+)"', request.query.get("filter", ""))
        with self._lock:
            rows = [one for one in self._rows.values() if one["zone"].endswith(f"/{zone}")]
            return reply({"items": [one for one in reversed(rows) if not kinds or one["operationType"] in kinds]})


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "-00:00")
