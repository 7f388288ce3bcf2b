"""What a machine may tell Prefect of its own run: events and log lines. One judge for both ways, by the proxy and by
letters on the remote (tasks.machine.replay_record).

An event is more than a message: the server records task runs from events, and automations act on them. Shapes recorded
from Prefect 3.8.8; server/services/task_run_recorder.py tells what is made of them. Whether a resource is the machine's
own only its controller knows: it is asked for what `named` and `task_run_of` give, and then `checked` judges.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from spotwave.node.untrusted.plain_text import LINE_CHARS, plain, plain_all
from spotwave.node.untrusted.strict_model import whole

LOG_CHARS = 20_000  # of one message: a traceback with the end of a program's output
MOST_RELATED = 100  # Prefect's own limit
_FIRST, _AHEAD = datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=366)  # a machine's clock may be wrong, not absurd

_SUBJECTS = {
    "flow-run": re.compile(r"prefect\.flow-run\.heartbeat"),
    "task-run": re.compile(r"prefect\.task-run\.[A-Za-z]{1,40}"),
    "artifact": re.compile(r"prefect\.artifact\.(created|updated)"),
    "worker": re.compile(r"prefect\.worker\.(started|stopped|submitted-flow-run|executed-flow-run)"),
    "runner": re.compile(r"prefect\.runner\.cancelled-flow-run"),
}
EVERY_KIND = frozenset(_SUBJECTS)
_RUNNER = "prefect.runner.standalone"  # the name that a worker's runner gives itself, whatever the machine
_FIELDS = {"occurred", "event", "resource", "related", "payload", "id", "follows"}
# The recorder takes these from the resources, but lets a payload overrule them.
_OVERRULING = {"id", "flow_run_id", "state", "state_id"}
_LOG_FIELDS = {"name", "level", "message", "timestamp", "flow_run_id", "task_run_id"}
_level = whole(0, 100)


class NotOwn(Exception):
    """Not for this machine to tell; one line that says why, and quotes nothing of it."""


def is_id(text: object) -> bool:
    """Whether it is a UUID in the one form that Prefect writes: any other could hide from a comparison."""
    try:
        return isinstance(text, str) and str(UUID(text)) == text
    except ValueError:
        return False


def named(event: object) -> list[str]:
    """The resources that an event speaks of, all of which must be the machine's own. Raises NotOwn for no event."""
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
    """The event with its texts made plain, if it is one that Prefect's worker or engine sends on the machine's affairs.

    run_id: of the machine's flow run, None before there is one. own: the resources among `named` that are its own.
    Raises NotOwn.
    """
    resources = named(event)
    kind = id_of(event["resource"]).removeprefix("prefect.").partition(".")[0]
    if kind not in kinds or not _SUBJECTS[kind].fullmatch(event["event"]):
        raise NotOwn("an event that neither a worker nor an engine sends")
    if not set(resources) <= set(own):
        raise NotOwn("an event on what is not the attempt's own")
    if kind in ("task-run", "runner") and (run_id is None or f"prefect.flow-run.{run_id}" not in resources):
        raise NotOwn("an event that names no flow run")
    if kind == "task-run":
        payload = event.get("payload")
        task_run = payload.get("task_run") if isinstance(payload, dict) else None
        if not isinstance(task_run, dict) or task_run.keys() & _OVERRULING:
            raise NotOwn("a task run's event with a payload of its own making")
    told: dict[str, Any] = plain_all(event)
    return told


def id_of(resource: Any) -> str:
    """Raises NotOwn unless it is a resource of Prefect's."""
    found = resource.get("prefect.resource.id") if isinstance(resource, dict) else None
    if not isinstance(found, str) or not found.startswith("prefect."):
        raise NotOwn("an event on what is not Prefect's")
    return found


def task_run_of(line: object) -> object:
    """The task run that a log line is of, None if it is of the flow run. Raises NotOwn for no log line."""
    if not isinstance(line, dict) or not line.keys() <= _LOG_FIELDS:
        raise NotOwn(f"a log line may have {', '.join(sorted(_LOG_FIELDS))} and no other field")
    return line.get("task_run_id")


def log_line(line: Any, run_id: str | None, own_task_runs: Collection[object]) -> dict[str, Any]:
    """A log line as it is kept: of the machine's own run, its texts made plain. Raises NotOwn."""
    task_run = task_run_of(line)
    if run_id is None or line.get("flow_run_id") != run_id:
        raise NotOwn("a log line of what is not the attempt's own flow run")
    if task_run is not None and task_run not in own_task_runs:
        raise NotOwn("a log line of a task run of another flow run")
    name, message, at = line.get("name"), line.get("message"), line.get("timestamp")
    if not isinstance(name, str) or not isinstance(message, str) or not _in_our_time(at):
        raise NotOwn("a log line without name, message or a time of ours")
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
        told = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        return False
    return told is not None and told.tzinfo is not None and _FIRST < told < datetime.now(UTC) + _AHEAD
