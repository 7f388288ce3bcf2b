"""Forward a detached run's record to Prefect, part by part: log lines as they were, task runs by their events.

A machine may report only about its own run: blocks.machine_events validates every line. Lines that are too long, too
many or malformed are left out.
"""

from __future__ import annotations

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
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from spotwave.blocks.machine_events import NotOwn, checked, is_id, log_line, named, task_run_of
from spotwave.node.contract import MOST_RECORDS, RECORD_DIR, record_part
from spotwave.node.storage.remote import Entry, Remote, RemoteTooLong
from spotwave.node.untrusted.strict_json import BadJson, load_object, read_file

LABEL = "spotwave.record"  # label of the attempt's run: number of forwarded parts
PAGE = 200
PART_BYTES = 4 << 20  # a machine sends parts of 1 MiB, or one line that is longer
RECORD_BYTES = 512 << 20  # limit of all parts; two weeks of log lines are about 10 MiB
AT_ONCE = 500  # parts fetched in one call, to catch up after a pause
MOST_LINES = 50_000  # limit of a part
MOST_TASK_RUNS = 10_000  # limit of task runs per run, each of which is looked up once
_RUN, _TASK_RUN = "prefect.flow-run.", "prefect.task-run."


class Record:
    """The forwarded record of one run. folder: the attempt's folder on the remote."""

    def __init__(self, prefect: SyncPrefectClient, run_id: UUID, folder: str) -> None:
        self._api, self._run_id, self._folder = prefect, run_id, folder
        forwarded = (prefect.read_flow_run(run_id).labels or {}).get(LABEL, 0)
        self.parts = int(forwarded)  #: handed on
        self._resumed = True  # an engine may have forwarded the next part and ended before it recorded that
        self._bytes = 0
        self._full = False  # it has exceeded RECORD_BYTES
        self._task_runs: dict[str, bool] = {}  # whether they are the run's own

    def hand_on(self, remote: Remote, parts: int) -> None:
        """Forward all parts up to `parts` that are available. Raises RemoteError, httpx.HTTPError,
        PrefectHTTPStatusError."""
        while self.parts < min(parts, MOST_RECORDS) and not self._full:
            before = self.parts
            try:
                self._forward_batch(remote, min(parts, before + AT_ONCE))
            except RemoteTooLong as error:
                self._stop(f"{error}")
            if self.parts == before:
                return  # not listed yet: retried with the next beat

    def _forward_batch(self, remote: Remote, upto: int) -> None:
        folder = f"{self._folder}/{RECORD_DIR}"
        if upto - self.parts == 1:
            try:
                content = remote.read(f"{self._folder}/{record_part(upto)}", PART_BYTES)
            except RemoteTooLong:
                self._forward_part(upto, None)
            else:
                if content is not None:
                    self._forward_part(upto, content)
            return
        there = {entry.path: entry for entry in remote.list(folder) if not entry.is_dir}
        wanted: list[Entry] = []
        for number in range(self.parts + 1, upto + 1):
            if (entry := there.get(Path(record_part(number)).name)) is None:
                break
            wanted.append(entry)
        with TemporaryDirectory(prefix="spotwave-") as local:
            remote.fetch(folder, [entry for entry in wanted if entry.size <= PART_BYTES], Path(local))
            for entry in wanted:
                self._forward_part(self.parts + 1, _content(Path(local) / entry.path))

    def _stop(self, why: str) -> None:
        self._full = True
        get_run_logger().warning("no more of the record is forwarded: %s", why)

    def _forward_part(self, number: int, content: bytes | None) -> None:
        """Forward one part: events, logs, then the label. content is None if the part is too long."""
        if content is None:
            get_run_logger().warning("part %d of the record is longer than %d bytes", number, PART_BYTES)
        logs, events = self._parsed(content or b"")
        if self._resumed and logs:
            known = set(self._logged_lines(min(log.timestamp for log in logs)))
            logs = [log for log in logs if (log.timestamp, log.message) not in known]
        if events:
            self._api.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
        if logs:
            self._api.create_logs(logs)
        self._api.update_flow_run_labels(self._run_id, {LABEL: number})
        self.parts, self._resumed = number, False
        self._bytes += len(content or b"")
        if self._bytes > RECORD_BYTES:
            self._stop(f"it is longer than {RECORD_BYTES} bytes")

    def _parsed(self, content: bytes) -> tuple[list[LogCreate], list[Event]]:
        """Return the valid log lines and events of this run."""
        logs: list[LogCreate] = []
        events: list[Event] = []
        unfit: dict[str, int] = {}
        for line in content.split(b"\n", MOST_LINES)[:MOST_LINES]:
            try:
                if line:
                    record = load_object(line, PART_BYTES)
                    if "log" in record:
                        logs.append(LogCreate.model_validate(self._log(record["log"])))
                    else:
                        events.append(Event.model_validate(self._event(record.get("event"))))
            except (NotOwn, BadJson) as error:
                unfit[str(error)] = unfit.get(str(error), 0) + 1
            except ValueError as error:  # from pydantic, whose message quotes the invalid input
                unfit[type(error).__name__] = unfit.get(type(error).__name__, 0) + 1
        for why, count in unfit.items():
            get_run_logger().warning("%d lines of the record are left out: %s", count, why)
        return logs, events

    def _log(self, line: Any) -> dict[str, Any]:
        """Validate a log line. Raises NotOwn."""
        task_run = task_run_of(line)
        own = {task_run} if isinstance(task_run, str) and self._owns(task_run) else set()
        return log_line(line, str(self._run_id), own)

    def _event(self, event: Any) -> dict[str, Any]:
        """Validate an event. Raises NotOwn."""
        if isinstance(event, dict) and isinstance(event.get("related"), list):
            # The machine's local Prefect adds its own flow and tags, which do not exist on this server.
            runs = [one for one in event["related"] if _names_a_run(one)]
            event = {**event, "related": runs}
        own = {one for one in set(named(event)) if self._concerns(one)}
        return checked(event, str(self._run_id), own, kinds=("task-run",))

    def _concerns(self, resource: str) -> bool:
        if resource.startswith(_TASK_RUN):
            return self._owns(resource.removeprefix(_TASK_RUN))
        return resource == f"{_RUN}{self._run_id}"

    def _owns(self, task_run: str) -> bool:
        """Whether a task run belongs to this run or is still unknown: an engine chooses its task runs' ids itself."""
        if task_run not in self._task_runs:
            if not is_id(task_run) or len(self._task_runs) >= MOST_TASK_RUNS:
                return False
            try:
                self._task_runs[task_run] = self._api.read_task_run(UUID(task_run)).flow_run_id == self._run_id
            except ObjectNotFound:
                self._task_runs[task_run] = True
        return self._task_runs[task_run]

    def _logged_lines(self, since: datetime) -> Iterator[tuple[datetime, str]]:
        """Yield the log lines that Prefect has of this run, from a time on."""
        wanted = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[self._run_id]), timestamp=LogFilterTimestamp(after_=since)
        )
        offset = 0
        while page := self._api.read_logs(wanted, limit=PAGE, offset=offset):
            yield from ((log.timestamp, log.message) for log in page)
            offset += len(page)


def _names_a_run(resource: Any) -> bool:
    found = resource.get("prefect.resource.id") if isinstance(resource, dict) else None
    return isinstance(found, str) and found.startswith(_RUN)


def _content(part: Path) -> bytes | None:
    try:
        return read_file(part, PART_BYTES)
    except (FileNotFoundError, BadJson):  # not fetched: too long
        return None
