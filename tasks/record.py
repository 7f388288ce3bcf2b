"""A detached run's record, handed on to Prefect part by part: log lines as they were, task runs by their events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterTimestamp
from prefect.events import Event
from prefect.logging import get_run_logger

from node.contract import RECORD_DIR, record_part
from node.remote import Remote

LABEL = "spotwave.record"  # of the attempt's run: how many parts were handed on
PAGE = 200


class Record:
    """What one run has said so far.

    folder: the attempt's, on the remote.
    """

    def __init__(self, prefect: SyncPrefectClient, run_id: UUID, folder: str) -> None:
        self._api, self._run_id, self._folder = prefect, run_id, folder
        told = (prefect.read_flow_run(run_id).labels or {}).get(LABEL, 0)
        self.parts = int(told)  #: handed on
        self._resumed = True  # the next part may have been told by an engine that died before it noted so

    def hand_on(self, remote: Remote, parts: int) -> None:
        """Tell Prefect all up to part `parts`. Raises RemoteError, httpx.HTTPError, PrefectHTTPStatusError."""
        if parts - self.parts == 1:
            told = remote.read(f"{self._folder}/{record_part(parts)}")
            if told is not None:  # else not listed yet: with the next beat
                self._tell(parts, told)
            return
        with TemporaryDirectory(prefix="spotwave-") as local:  # after a sleep: one call for many parts
            remote.download(f"{self._folder}/{RECORD_DIR}", Path(local))
            for number in range(self.parts + 1, parts + 1):
                part = Path(local) / Path(record_part(number)).name
                if not part.exists():
                    return
                self._tell(number, part.read_bytes())

    def _tell(self, number: int, told: bytes) -> None:
        """One part: events, logs, then the note that it was told."""
        logs, events = self._parsed(told)
        if self._resumed and logs:
            known = set(self._known(min(log.timestamp for log in logs)))
            logs = [log for log in logs if (log.timestamp, log.message) not in known]
        if events:
            self._api.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
        if logs:
            self._api.create_logs(logs)
        self._api.update_flow_run_labels(self._run_id, {LABEL: number})
        self.parts, self._resumed = number, False

    def _parsed(self, told: bytes) -> tuple[list[LogCreate], list[Event]]:
        """What concerns this run; a machine has nothing to say about others."""
        logs: list[LogCreate] = []
        events: list[Event] = []
        for line in told.splitlines():
            try:
                record: dict[str, Any] = json.loads(line)
                if "log" in record:
                    log = LogCreate.model_validate(record["log"])
                    logs += [log] if log.flow_run_id == self._run_id else []
                else:
                    event = Event.model_validate(record["event"])
                    events += [event] if self._is_ours(event) else []
            except (ValueError, KeyError, TypeError) as error:
                get_run_logger().warning("a line of the record is not readable: %s", type(error).__name__)
        return logs, events

    def _is_ours(self, event: Event) -> bool:
        runs = [resource.id for resource in event.related if resource.role == "flow-run"]
        return event.resource.id.startswith("prefect.task-run.") and runs == [f"prefect.flow-run.{self._run_id}"]

    def _known(self, since: datetime) -> Iterator[tuple[datetime, str]]:
        """Log lines that Prefect has of this run, from a time on."""
        wanted = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[self._run_id]), timestamp=LogFilterTimestamp(after_=since)
        )
        offset = 0
        while page := self._api.read_logs(wanted, limit=PAGE, offset=offset):
            yield from ((log.timestamp, log.message) for log in page)
            offset += len(page)
