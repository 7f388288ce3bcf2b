"""Validation of the events and log lines that a machine sends to Prefect about its own run.

Used for both ways: through the proxy, and as files on the remote (tasks.machine.replay_record).

An event is more than a message: the server records task runs from events, and automations act on them. Shapes were
recorded from Prefect 3.8.8; server/services/task_run_recorder.py shows what is made of them. Only the controller knows
whether a resource belongs to the machine: it looks up what `named` and `task_run_of` return, then calls `checked`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from spotwave.node.untrusted.plain_text import LINE_CHARS, plain, plain_all
from spotwave.node.untrusted.strict_model import whole

LOG_CHARS = 20_000  # per message: a traceback with the end of a program's output
MOST_RELATED = 100  # Prefect's own limit
_FIRST, _AHEAD = datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=366)  # tolerates a machine's clock that is wrong

_SUBJECTS = {
    "flow-run": re.compile(r"prefect\.flow-run\.heartbeat"),
    "task-run": re.compile(r"prefect\.task-run\.[A-Za-z]{1,40}"),
    "artifact": re.compile(r"prefect\.artifact\.(created|updated)"),
    "worker": re.compile(r"prefect\.worker\.(started|stopped|submitted-flow-run|executed-flow-run)"),
    "runner": re.compile(r"prefect\.runner\.cancelled-flow-run"),
}
EVERY_KIND = frozenset(_SUBJECTS)
_RUNNER = "prefect.runner.standalone"  # the name of a worker's runner, the same on every machine
_FIELDS = {"occurred", "event", "resource", "related", "payload", "id", "follows"}
# The recorder takes these from the resources, but a payload can override them.
_OVERRULING = {"id", "flow_run_id", "state", "state_id"}
_LOG_FIELDS = {"name", "level", "message", "timestamp", "flow_run_id", "task_run_id"}
_level = whole(0, 100)


class NotOwn(Exception):
    """The machine may not send this. The message is one line with the reason, and quotes nothing of the input."""


def is_id(text: object) -> bool:
    """Whether it is a UUID in the form that Prefect writes; another spelling could evade a comparison."""
    try:
        return isinstance(text, str) and str(UUID(text)) == text
    except ValueError:
        return False


def named(event: object) -> list[str]:
    """Return the resources of an event; all must belong to the machine. Raises NotOwn if it is not an event."""
    if not isinstance(event, dict) or not event.keys() <= _FIELDS:
        raise NotOwn("not an event")
    related = event.get("related", [])
    if not isinstance(related, list) or len(related) > MOST_RELATED or not isinstance(event.get("event"), str):
        raise NotOwn("not an event")
    subject = id_of(event.get("resource"))
    ids = [id_of(resource) for resource in related]
    return ids if subject == _RUNNER else [subject, *ids]


def checked(
    event: Any, run_id: str | None, own: Collection[str], kinds: Collection[str] = EVERY_KIND
) -> dict[str, Any]:
    """Return the event with cleaned texts, if it is one that Prefect's worker or engine sends for the machine's run.

    run_id: of the machine's flow run, None before it exists. own: the resources from `named` that belong to the
    machine. Raises NotOwn.
    """
    resources = named(event)
    kind = id_of(event["resource"]).removeprefix("prefect.").partition(".")[0]
    if kind not in kinds or not _SUBJECTS[kind].fullmatch(event["event"]):
        raise NotOwn("an event that neither a worker nor an engine sends")
    if not set(resources) <= set(own):
        raise NotOwn("an event about a resource of another attempt")
    if kind in ("task-run", "runner") and (run_id is None or f"prefect.flow-run.{run_id}" not in resources):
        raise NotOwn("an event that names no flow run")
    if kind == "task-run":
        payload = event.get("payload")
        task_run = payload.get("task_run") if isinstance(payload, dict) else None
        if not isinstance(task_run, dict) or task_run.keys() & _OVERRULING:
            raise NotOwn("a task run event with a forged payload")
    cleaned: dict[str, Any] = plain_all(event)
    return cleaned


def id_of(resource: Any) -> str:
    """Return the ID of a Prefect resource. Raises NotOwn if it is not one."""
    found = resource.get("prefect.resource.id") if isinstance(resource, dict) else None
    if not isinstance(found, str) or not found.startswith("prefect."):
        raise NotOwn("an event about a resource that is not Prefect's")
    return found


def task_run_of(line: object) -> object:
    """Return the task run ID of a log line, None if it belongs to the flow run. Raises NotOwn if not a log line."""
    if not isinstance(line, dict) or not line.keys() <= _LOG_FIELDS:
        raise NotOwn(f"a log line may have {', '.join(sorted(_LOG_FIELDS))} and no other field")
    return line.get("task_run_id")


def log_line(line: Any, run_id: str | None, own_task_runs: Collection[object]) -> dict[str, Any]:
    """Return a log line of the machine's own run with cleaned texts. Raises NotOwn."""
    task_run = task_run_of(line)
    if run_id is None or line.get("flow_run_id") != run_id:
        raise NotOwn("a log line of a flow run that is not the attempt's own")
    if task_run is not None and task_run not in own_task_runs:
        raise NotOwn("a log line of a task run of another flow run")
    name, message, at = line.get("name"), line.get("message"), line.get("timestamp")
    if not isinstance(name, str) or not isinstance(message, str) or not _in_our_time(at):
        raise NotOwn("a log line without a name, a message or a plausible time")
    try:
        level = _level(line.get("level"))
    except ValueError as error:
        raise NotOwn(f"a log line whose level is {error}") from None
    return {
        "name": plain(name, LINE_CHARS),
        "level": level,
        "message": plain(message, LOG_CHARS, lines=True),
        "timestamp": at,
        "flow_run_id": run_id,
        "task_run_id": task_run,
    }


def _in_our_time(at: object) -> bool:
    try:
        parsed = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        return False
    return parsed is not None and parsed.tzinfo is not None and _FIRST < parsed < datetime.now(UTC) + _AHEAD
