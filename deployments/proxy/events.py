"""Which events a machine may send, and which it may hear of.

An event is more than a message: the server records task runs from events, and automations act on them.
Shapes recorded from Prefect 3.8.8; server/services/task_run_recorder.py tells what is made of them.
"""

from __future__ import annotations

import re
from typing import Any

from deployments.proxy.attempt import Attempt
from deployments.proxy.rules import Refused

HEARD = frozenset({"prefect.flow-run.Cancelling", "prefect.flow-run.Suspended"})

_SUBJECTS = {
    "flow-run": re.compile(r"prefect\.flow-run\.heartbeat"),
    "task-run": re.compile(r"prefect\.task-run\.[A-Za-z]+"),
    "artifact": re.compile(r"prefect\.artifact\.(created|updated)"),
    "worker": re.compile(r"prefect\.worker\.(started|stopped|submitted-flow-run|executed-flow-run)"),
    "runner": re.compile(r"prefect\.runner\.cancelled-flow-run"),
}
_RUNNER = "prefect.runner.standalone"  # the name that a worker's runner gives itself, whatever the machine
_FIELDS = {"occurred", "event", "resource", "related", "payload", "id", "follows"}
# The recorder takes these from the resources, but lets a payload overrule them.
_OVERRULING = {"id", "flow_run_id", "state", "state_id"}


async def check(attempt: Attempt, event: Any) -> None:
    """Raises Refused unless an event is one that Prefect's worker or engine sends, on the attempt's own affairs.

    Raises Away if the API does not answer.
    """
    if not isinstance(event, dict) or not event.keys() <= _FIELDS:
        raise Refused("not an event")
    subject, related, name = event.get("resource"), event.get("related", []), event.get("event")
    if not isinstance(related, list) or not isinstance(name, str):
        raise Refused("not an event")
    subject_id = _id_of(subject)
    kind = subject_id.removeprefix("prefect.").partition(".")[0]
    if kind not in _SUBJECTS or not _SUBJECTS[kind].fullmatch(name):
        raise Refused("an event that neither a worker nor an engine sends")
    related_ids = [_id_of(resource) for resource in related]
    named = related_ids if subject_id == _RUNNER else [subject_id, *related_ids]
    for resource_id in named:
        if not await attempt.concerns(resource_id):
            raise Refused("an event on what is not the attempt's own")
    run = await attempt.run()
    if kind in ("task-run", "runner") and (run is None or f"prefect.flow-run.{run.id}" not in related_ids):
        raise Refused("an event that names no flow run")
    if kind == "task-run":
        payload = event.get("payload")
        task_run = payload.get("task_run") if isinstance(payload, dict) else None
        if not isinstance(task_run, dict) or task_run.keys() & _OVERRULING:
            raise Refused("a task run's event with a payload of its own making")


def wanted(asked: Any) -> dict[str, Any]:
    """The filter to subscribe with, for what a worker or engine asks for. Raises Refused for anything else."""
    told = asked.get("filter") if isinstance(asked, dict) and asked.get("type") == "filter" else None
    event = told.get("event") if isinstance(told, dict) else None
    names = event.get("name") if isinstance(event, dict) else None
    if not isinstance(told, dict) or not isinstance(names, list) or not names or not HEARD.issuperset(map(str, names)):
        raise Refused("only a flow run's cancelling and suspending can be heard of")
    kept: dict[str, Any] = {"event": {"name": names}}
    if isinstance(told.get("occurred"), dict):
        kept["occurred"] = told["occurred"]
    return {"type": "filter", "filter": kept}


async def may_hear(attempt: Attempt, told: Any) -> bool:
    """Whether an event of the server's is on the attempt's own flow run: the filter cannot know it beforehand."""
    try:
        subject = _id_of(told["event"]["resource"])
    except (KeyError, TypeError, Refused):
        return False
    kind, _, id_ = subject.removeprefix("prefect.").partition(".")
    return kind == "flow-run" and await attempt.owns_run(id_)


def _id_of(resource: Any) -> str:
    found = resource.get("prefect.resource.id") if isinstance(resource, dict) else None
    if not isinstance(found, str) or not found.startswith("prefect."):
        raise Refused("an event on what is not Prefect's")
    return found
