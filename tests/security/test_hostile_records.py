"""Forged events and log lines: the validation is the same for the proxy and for messages on the remote."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.exceptions import ObjectNotFound
from prefect.logging import disable_run_logger

from spotwave.blocks.machine_events import LOG_CHARS, NotOwn, checked, is_id, log_line, named
from spotwave.blocks.rclone import rclone_binary
from spotwave.node.contract import record_part
from spotwave.node.storage.remote import Remote
from spotwave.tasks.machine import replay_record as records
from tests.security.rows import Row

RUN, OTHER, TASK, THEIRS = (str(uuid4()) for _ in range(4))
OWN = {f"prefect.flow-run.{RUN}", f"prefect.task-run.{TASK}"}
DROPPED = "is dropped and not recorded"


def event(**fields: Any) -> dict[str, Any]:
    usual = {
        "id": str(uuid4()),
        "occurred": "2026-11-20T12:00:00+00:00",
        "event": "prefect.task-run.Completed",
        "resource": {"prefect.resource.id": f"prefect.task-run.{TASK}"},
        "related": [about(f"prefect.flow-run.{RUN}")],
        "payload": {"validated_state": {"type": "COMPLETED"}, "task_run": {"name": "n", "task_key": "k"}},
        "follows": None,
    }
    return usual | fields


def about(resource: str) -> dict[str, str]:
    return {"prefect.resource.id": resource, "prefect.resource.role": "flow-run"}


def line(**fields: Any) -> dict[str, Any]:
    usual = {"name": "prefect.flow_runs", "level": 20, "message": "m", "timestamp": "2026-11-20T12:00:00+00:00"}
    return usual | {"flow_run_id": RUN, "task_run_id": None} | fields


@dataclass(frozen=True)
class Forged(Row):
    judged: Callable[[], object]


def forged(attack: str, **fields: Any) -> Forged:
    """Return a row for an event that must be dropped."""
    told = event(**fields)
    return Forged("event", attack, DROPPED, lambda: checked(told, RUN, OWN & set(named(told)), kinds=("task-run",)))


def logged(attack: str, **fields: Any) -> Forged:
    return Forged("log line", attack, DROPPED, lambda: log_line(line(**fields), RUN, {TASK}))


def payload(**task_run: Any) -> dict[str, Any]:
    return {"payload": {"validated_state": {}, "task_run": {"name": "n", **task_run}}}


FORGED = [
    forged("another run's task", resource=about(f"prefect.task-run.{THEIRS}")),
    forged("a task in another run", related=[about(f"prefect.flow-run.{OTHER}")]),
    forged("a task in both runs", related=[about(f"prefect.flow-run.{RUN}"), about(f"prefect.flow-run.{OTHER}")]),
    forged("a task of no run", related=[]),
    forged("a payload with another run", **payload(flow_run_id=OTHER)),
    forged("a payload with another task's id", **payload(id=THEIRS)),
    forged("a payload with a state", **payload(state_id=THEIRS)),
    forged("no payload", payload=None),
    forged("an unknown name", event="prefect.deployment.ready"),
    forged("an allowed name with a suffix", event="prefect.task-run.Completed.and.more"),
    forged("a name of 1000 letters", event="prefect.task-run." + "x" * 1000),
    forged("its own run's state", event="prefect.flow-run.Completed", resource=about(f"prefect.flow-run.{RUN}")),
    forged("a heartbeat, by remote", event="prefect.flow-run.heartbeat", resource=about(f"prefect.flow-run.{RUN}")),
    forged("a worker's end", event="prefect.worker.stopped", resource=about("prefect.worker.process.controller")),
    forged("1000 relations", related=[about(f"prefect.flow-run.{RUN}")] * 1000),
    forged("an additional field", account=THEIRS),
    forged("a list for its subject", resource=[TASK]),
    forged("an invalid relation", related=["x"]),
    forged("its task's id in capitals", resource=about(f"prefect.task-run.{TASK.upper()}X")),
    Forged("event", "a list for an event", DROPPED, lambda: checked([], RUN, OWN)),
    logged("of another run", flow_run_id=OTHER),
    logged("of another run's task", task_run_id=THEIRS),
    logged("of no run", flow_run_id=None),
    logged("a level of -1", level=-1),
    logged("a level of 10**9", level=10**9),
    logged("true for its level", level=True),
    logged("a text for its level", level="20"),
    logged("a list for its message", message=["x"]),
    logged("a time in the distant past", timestamp="0001-01-01T00:00:00+00:00"),
    logged("a time in 9999", timestamp="9999-01-01T00:00:00+00:00"),
    logged("a time without its zone", timestamp="2026-11-20T12:00:00"),
    logged("no time", timestamp=None),
    logged("a worker's", worker_id=THEIRS),
    Forged("log line", "a text for a line", DROPPED, lambda: log_line("x", RUN, {TASK})),
]  # fmt: skip


@pytest.mark.parametrize("row", FORGED, ids=str)
def test_records_of_other_runs_are_dropped(row: Forged) -> None:
    with pytest.raises(NotOwn) as refused:
        row.judged()
    said = str(refused.value)
    assert said.isprintable()
    assert len(said) < 200


def test_own_records_are_kept_as_plain_text() -> None:
    told = event(payload={"validated_state": {"message": "a\x1b]0;x\x07b"}, "task_run": {"name": "n\u202e"}})
    assert checked(told, RUN, OWN)["payload"] == {
        "validated_state": {"message": "ab"},
        "task_run": {"name": "n\N{REPLACEMENT CHARACTER}"},
    }
    honest = event()
    assert checked(honest, RUN, OWN) == honest
    kept = log_line(line(message="x\x1b[2J\n" + "y" * 10**6, name="n\x07", task_run_id=TASK), RUN, {TASK})
    assert kept["message"].startswith("x\nyyy")
    assert len(kept["message"]) == LOG_CHARS
    assert (kept["name"], kept["level"], kept["task_run_id"]) == ("n\N{REPLACEMENT CHARACTER}", 20, TASK)


def test_deeply_nested_event_is_cut() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    told = checked(event(payload={"validated_state": deep, "task_run": {"name": "n"}}), RUN, OWN)
    assert len(json.dumps(told)) < 2000


def test_id_must_have_prefects_form() -> None:
    assert is_id(TASK)
    assert not any(map(is_id, (TASK.upper(), TASK.replace("-", ""), f"{{{TASK}}}", 7, None, "")))


class _RecordingApi:
    """A Prefect API with a task of another run, which records what it receives."""

    def __init__(self) -> None:
        self.logs: list[Any] = []
        self.events: list[Any] = []
        self.calls = 0

    def read_flow_run(self, _run_id: UUID) -> Any:
        return type("Run", (), {"labels": {}})()

    def read_task_run(self, task_run: UUID) -> Any:
        self.calls += 1
        if str(task_run) == THEIRS:
            return type("TaskRun", (), {"flow_run_id": UUID(OTHER)})()
        raise ObjectNotFound(http_exc=LookupError())

    def read_logs(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def request(self, _method: str, _path: str, json: list[Any]) -> None:
        self.events += json

    def create_logs(self, logs: list[Any]) -> None:
        self.logs += logs

    def update_flow_run_labels(self, _run_id: UUID, _labels: dict[str, Any]) -> None:
        pass


@pytest.fixture
def far(tmp_path: Path) -> Path:
    (tmp_path / "attempts/1/record").mkdir(parents=True)
    return tmp_path


def forwarded(far: Path, parts: int) -> tuple[records.Record, _RecordingApi]:
    told = _RecordingApi()
    with disable_run_logger():
        record = records.Record(told, UUID(RUN), "attempts/1")  # type: ignore[arg-type]
        record.hand_on(Remote(rclone_binary(), None, str(far)), parts)
    return record, told


def put(far: Path, number: int, *lines: dict[str, Any] | str) -> None:
    path = far / "attempts/1" / record_part(number)
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))


PARTS = [
    Row("record", "10**9 parts in the lease", "only existing parts are looked for"),
    Row("record", "a part of eight mebibytes", "skipped, and the next is read"),
    Row("record", "100 000 lines in one part", "only the first are read"),
    Row("record", "lines that are not JSON or too deeply nested", "skipped, and the others are read"),
    Row("record", "another run's task among its own", "skipped, and the others are read"),
]


def test_huge_number_of_parts_costs_no_work(far: Path) -> None:
    put(far, 1, {"log": line()})
    put(far, 2, {"log": line(message="second")})
    record, told = forwarded(far, 10**9)
    assert [log.message for log in told.logs] == ["m", "second"]
    assert record.parts == 2


def test_oversized_part_is_skipped(far: Path) -> None:
    put(far, 1, "x" * 8 * 2**20)
    put(far, 2, {"log": line()})
    record, told = forwarded(far, 2)
    assert [log.message for log in told.logs] == ["m"]
    assert record.parts == 2
    record, told = forwarded(far, 1)  # a single part takes another code path
    assert (record.parts, told.logs) == (1, [])


def test_number_of_lines_is_limited(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_LINES", 100)
    put(far, 1, *[{"log": line(message=str(number))} for number in range(1000)])
    assert len(forwarded(far, 1)[1].logs) == 100


def test_invalid_records_are_skipped_and_the_others_sent(far: Path) -> None:
    put(
        far, 1,
        "[" * 3000, "{", "[]", '"x"', '{"event": NaN}', "\x00", json.dumps({"log": line(level=-1)}),
        {"event": event(resource=about(f"prefect.task-run.{THEIRS}"))},
        {"event": event(related=[about(f"prefect.flow-run.{OTHER}")])},
        {"log": line(task_run_id=THEIRS)},
        {"event": event(related=[about(f"prefect.flow-run.{RUN}"), {"prefect.resource.id": "prefect.tag.x"}])},
        {"log": line(task_run_id=TASK)},
    )  # fmt: skip
    _, told = forwarded(far, 1)
    assert [log.message for log in told.logs] == ["m"]
    (kept,) = told.events
    assert kept["resource"]["prefect.resource.id"] == f"prefect.task-run.{TASK}"
    assert [one["prefect.resource.id"] for one in kept["related"]] == [f"prefect.flow-run.{RUN}"]
    assert told.calls == 2, "each task run is looked up once"


ROWS: list[Row] = [*FORGED, *PARTS]
