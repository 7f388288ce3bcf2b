"""The allow-list of HTTP calls of a machine, recorded from Prefect 3.8.8 (worker, engine) and Spotwave's agent.

A rule takes the parsed body and returns the request to send to the API instead. It raises Refused. Websockets are
handled in sockets.py; the worker channel is rejected, and a worker then uses the REST calls below.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from spotwave.blocks.machine_events import NotOwn, is_id, log_line, task_run_of
from spotwave.deployments.proxy.artifacts import BadArtifact, lease_artifact, node_artifact
from spotwave.deployments.proxy.attempt import Attempt, Run
from spotwave.deployments.proxy.upstream import Method
from spotwave.node.contract import MACHINES_POOL
from spotwave.node.untrusted.plain_text import plain_all

ARTIFACT_KEYS = "node-"  #: required prefix of a node run's artifact keys: the UI shows each key's newest artifact


class Refused(Exception):
    """The machine is not allowed to do this. The message is one line with the reason, without parts of the body."""


@dataclass(frozen=True)
class Forward:
    """A request to send to the API."""

    method: Method
    path: str
    body: object = None


@dataclass(frozen=True)
class Answer:
    """An answer that the proxy gives without a request to the API."""

    status: int
    body: object


Rule = Callable[[Attempt, str, Any], Awaitable[Forward | Answer]]
_RULES: list[tuple[str, re.Pattern[str], Rule]] = []


def _allow(method: Method, path: str) -> Callable[[Rule], Rule]:
    """Register a rule for a call; `<id>` in the path is passed as the rule's second argument."""
    pattern = re.compile(re.escape(f"/api{path}").replace("<id>", "([0-9a-f-]{36})"))

    def keep(rule: Rule) -> Rule:
        _RULES.append((method, pattern, rule))
        return rule

    return keep


def rule_for(method: str, path: str) -> tuple[Rule, str] | None:
    """Return the rule of a call and the id in its path ("" if there is none); None if not allowed.

    `path` is the raw path, not decoded.
    """
    for its_method, pattern, rule in _RULES:
        if its_method == method and (found := pattern.fullmatch(path)):
            id_ = found.group(1) if pattern.groups else ""
            return (rule, id_) if not pattern.groups or is_id(id_) else None
    return None


def only(body: Any, *fields: str) -> dict[str, Any]:
    """Return the body, which must be an object without other fields. Raises Refused."""
    if not isinstance(body, dict) or not body.keys() <= set(fields):
        raise Refused(f"the body must be an object with only these fields: {', '.join(fields)}")
    return body


async def own_run(attempt: Attempt, run_id: object) -> Run:
    run = await attempt.run()
    if run is None or run_id != run.id:
        raise Refused("not the attempt's own flow run")
    return run


async def _own_task_run(attempt: Attempt, task_run_id: object) -> None:
    if task_run_id is not None and not await attempt.owns_task_run(task_run_id):
        raise Refused("not a task run of the attempt's own flow run")


@_allow("GET", "/admin/version")
async def _version(_attempt: Attempt, _id: str, _body: Any) -> Forward:
    return Forward("GET", "/admin/version")


@_allow("GET", "/admin/storage")
async def _storage(_attempt: Attempt, _id: str, _body: Any) -> Answer:
    # A default storage would be a block, which a machine must not read: it stores task results on its own disk.
    return Answer(200, {"default_result_storage_block_id": None})


@_allow("GET", "/csrf-token")
async def _csrf(_attempt: Attempt, _id: str, _body: Any) -> Answer:
    # If the API requires a CSRF token, the proxy's client sends one. Clients understand this answer (client/base.py).
    return Answer(422, {"detail": "CSRF protection is disabled."})


@_allow("GET", f"/work_pools/{MACHINES_POOL}")
async def _pool(_attempt: Attempt, _id: str, _body: Any) -> Forward:
    return Forward("GET", f"/work_pools/{MACHINES_POOL}")


@_allow("POST", f"/work_pools/{MACHINES_POOL}/queues/filter")
async def _queues(attempt: Attempt, _id: str, body: Any) -> Forward:
    queues = only(body, "work_queues", "limit", "offset").get("work_queues")
    if queues != {"name": {"any_": [attempt.name]}}:
        raise Refused("not the attempt's own queue")
    return Forward("POST", f"/work_pools/{MACHINES_POOL}/queues/filter", {"work_queues": queues})


@_allow("POST", f"/work_pools/{MACHINES_POOL}/get_scheduled_flow_runs")
async def _scheduled(attempt: Attempt, _id: str, body: Any) -> Forward:
    fields = only(body, "work_queue_names", "scheduled_before", "scheduled_after", "limit")
    if fields.get("work_queue_names") != [attempt.name]:
        raise Refused("not the attempt's own queue")
    return Forward("POST", f"/work_pools/{MACHINES_POOL}/get_scheduled_flow_runs", fields)


@_allow("POST", f"/work_pools/{MACHINES_POOL}/workers/heartbeat")
async def _worker(attempt: Attempt, _id: str, body: Any) -> Forward:
    if only(body, "name", "heartbeat_interval_seconds").get("name") != attempt.name:
        raise Refused("not the attempt's own worker")
    return Forward("POST", f"/work_pools/{MACHINES_POOL}/workers/heartbeat", body)


@_allow("GET", "/deployments/<id>")
async def _deployment(attempt: Attempt, id_: str, _body: Any) -> Forward:
    run = await attempt.run()
    if run is None or id_ != run.deployment_id:
        raise Refused("not the deployment of the attempt's own flow run")
    return Forward("GET", f"/deployments/{id_}")


@_allow("GET", "/flows/<id>")
async def _flow(attempt: Attempt, id_: str, _body: Any) -> Forward:
    run = await attempt.run()
    if run is None or id_ != run.flow_id:
        raise Refused("not the flow of the attempt's own flow run")
    return Forward("GET", f"/flows/{id_}")


@_allow("GET", "/work_queues/<id>")
async def _queue(attempt: Attempt, id_: str, _body: Any) -> Forward:
    run = await attempt.run()
    if run is None or id_ != run.work_queue_id:
        raise Refused("not the attempt's own queue")
    return Forward("GET", f"/work_queues/{id_}")


@_allow("GET", "/flow_runs/<id>")
async def _read_run(attempt: Attempt, id_: str, _body: Any) -> Forward:
    return Forward("GET", f"/flow_runs/{(await own_run(attempt, id_)).id}")


@_allow("PATCH", "/flow_runs/<id>")
async def _update_run(attempt: Attempt, id_: str, body: Any) -> Forward:
    run = await own_run(attempt, id_)
    fields = only(body, "infrastructure_pid", "flow_version", "empirical_policy")
    return Forward("PATCH", f"/flow_runs/{run.id}", plain_all(fields))


@_allow("PATCH", "/flow_runs/<id>/labels")
async def _label_run(attempt: Attempt, id_: str, body: Any) -> Forward:
    run = await own_run(attempt, id_)
    labels = ("prefect.worker.name", "prefect.worker.type", "prefect.work-pool.name", "prefect.work-pool.id")
    return Forward("PATCH", f"/flow_runs/{run.id}/labels", plain_all(only(body, *labels)))


@_allow("POST", "/flow_runs/<id>/set_state")
async def _set_state(attempt: Attempt, id_: str, body: Any) -> Forward:
    run = await own_run(attempt, id_)
    state = only(only(body, "state", "force").get("state"), "type", "name", "message", "data", "state_details")
    details = state.get("state_details") or {}
    if not isinstance(details, dict) or details.get("flow_run_id") not in (None, run.id):
        raise Refused("not a state of the attempt's own flow run")
    # With the concurrency lease of another run, the end of this run would free the other run's slot.
    for field in ("deployment_concurrency_lease_id", "child_flow_run_id", "task_run_id"):
        if details.get(field) is not None:
            raise Refused(f"a state may not set {field}")
    # `data` is Prefect's metadata of a result, which is not shown.
    shown = plain_all({name: state[name] for name in ("type", "name", "message") if name in state})
    return Forward("POST", f"/flow_runs/{run.id}/set_state", {**body, "state": {**state, **shown}})


@_allow("POST", "/flow_runs/filter")
async def _read_runs(attempt: Attempt, _id: str, body: Any) -> Forward | Answer:
    """Let a worker without an events websocket check if its runs are being cancelled (_internal/observers.py)."""
    runs = body.get("flow_runs") if isinstance(body, dict) else None
    by_id = runs.get("id") if isinstance(runs, dict) else None
    ids = by_id.get("any_") if isinstance(by_id, dict) else None
    if ids == []:
        return Answer(200, [])
    if not isinstance(ids, list) or len(ids) != 1:
        raise Refused("the filter must have the id of the attempt's own flow run")
    run = await own_run(attempt, ids[0])
    assert isinstance(runs, dict)  # otherwise there are no ids
    return Forward("POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run.id]}, "state": runs.get("state")}})


@_allow("POST", "/logs/")
async def _logs(attempt: Attempt, _id: str, body: Any) -> Forward:
    if not isinstance(body, list):
        raise Refused("logs must be a list")
    run = await attempt.run()
    try:
        named = {task_run for line in body if is_id(task_run := task_run_of(line))}
        own = {task_run for task_run in named if await attempt.owns_task_run(task_run)}
        lines = [log_line(line, run.id if run is not None else None, own) for line in body]
    except NotOwn as error:
        raise Refused(str(error)) from None
    return Forward("POST", "/logs/", lines)


@_allow("POST", "/artifacts/")
async def _create_artifact(attempt: Attempt, _id: str, body: Any) -> Forward:
    fields = only(body, "key", "type", "description", "data", "metadata_", "flow_run_id", "task_run_id")
    await own_run(attempt, fields.get("flow_run_id"))
    await _own_task_run(attempt, fields.get("task_run_id"))
    key = fields.get("key")
    if not isinstance(key, str) or not key.startswith(ARTIFACT_KEYS):
        raise Refused(f"the key of a node run's artifact must start with '{ARTIFACT_KEYS}'")
    return Forward("POST", "/artifacts/", _sanitized(node_artifact, fields))


@_allow("PATCH", "/artifacts/<id>")
async def _update_artifact(attempt: Attempt, id_: str, body: Any) -> Forward:
    fields = only(body, "data", "description", "metadata_")
    if id_ == str(attempt.token.lease_id):
        return Forward("PATCH", f"/artifacts/{id_}", _sanitized(lease_artifact, fields))
    if not await attempt.owns_artifact(id_):
        raise Refused("neither the attempt's lease nor an artifact of its own flow run")
    return Forward("PATCH", f"/artifacts/{id_}", _sanitized(node_artifact, fields))


def _sanitized(sanitize: Callable[[dict[str, Any]], dict[str, Any]], fields: dict[str, Any]) -> dict[str, Any]:
    try:
        return sanitize(fields)
    except BadArtifact as error:
        raise Refused(str(error)) from None
