"""Calls that a machine's token does not allow: the proxy rejects each of them, and without the proxy they succeed."""

from __future__ import annotations

import contextlib
import http.client
from typing import Any

import httpx
import pytest

from spotwave.blocks.access import basic
from spotwave.deployments.proxy.app import MOST_BODY_BYTES
from spotwave.node.contract import Lease, Phase
from tests.deployments.proxy.kit import (
    Opened,
    World,
    new_job_key,
    open_lease,
    settings_of,
)

NOW = "2026-01-01T00:00:00Z"
LOG = {"name": "n", "level": 20, "message": "m", "timestamp": NOW}
PARAMETERS = {"job_key": "sw-0123456789ab", "attempt": 1, "calculation": {}}
CANCELLED = {"type": "CANCELLED", "name": "Cancelled"}


# (description, method, path, body, how to undo the call without the proxy); <placeholders> are keys of World.ids.
# Calls that would harm the server of other tests are marked `not tried`: they are not made without the proxy.
FORBIDDEN: list[tuple[str, str, str, Any, str | None]] = [
    ("secrets of blocks", "POST", "/block_documents/filter", {"include_secrets": True}, None),
    ("a block", "GET", "/block_types/slug/prefect-access/block_documents/name/here?include_secrets=true", None, None),
    ("block types", "POST", "/block_types/filter", {}, None),
    ("a new run", "POST", "/flow_runs/", {"flow_id": "<flow>"}, "/flow_runs/"),
    ("a new run of its deployment", "POST", "/deployments/<deployment>/create_flow_run",
     {"work_queue_name": "<name>", "parameters": PARAMETERS}, "/flow_runs/"),
    ("another run", "GET", "/flow_runs/<other run>", None, None),
    ("all runs", "POST", "/flow_runs/filter", {}, None),
    ("another run by its id", "POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": ["<other run>"]}}}, None),
    ("its own and another run", "POST", "/flow_runs/filter",
     {"flow_runs": {"id": {"any_": ["<run>", "<other run>"]}}}, None),
    ("a run by its name", "POST", "/flow_runs/filter", {"flow_runs": {"name": {"like_": "a"}}}, None),
    ("another run's state", "POST", "/flow_runs/<other run>/set_state", {"state": CANCELLED, "force": True}, None),
    ("another run's process", "PATCH", "/flow_runs/<other run>", {"infrastructure_pid": "1"}, None),
    ("another run's labels", "PATCH", "/flow_runs/<other run>/labels", {"prefect.worker.name": "x"}, None),
    ("another run's logs", "GET", "/flow_runs/<other run>/logs/download", None, None),
    ("its own run's job variables", "PATCH", "/flow_runs/<run>", {"job_variables": {}}, None),
    ("its own run's parameters", "PATCH", "/flow_runs/<run>", {"parameters": {"attempt": 9}}, None),
    ("a deletion of its run", "DELETE", "/flow_runs/<new>", None, "not tried"),
    ("another's place in a limit", "POST", "/flow_runs/<run>/set_state",
     {"state": {"type": "SCHEDULED", "state_details": {"deployment_concurrency_lease_id": "<new>"}}, "force": True},
     None),
    ("a child that is another's", "POST", "/flow_runs/<run>/set_state",
     {"state": {"type": "SCHEDULED", "state_details": {"child_flow_run_id": "<other run>"}}, "force": True}, None),
    ("bulk states", "POST", "/flow_runs/bulk_set_state",
     {"flow_runs": {"id": {"any_": ["<new>"]}}, "state": CANCELLED}, None),
    ("another queue's runs", "POST", "/work_pools/machines/get_scheduled_flow_runs",
     {"work_queue_names": ["<other name>"]}, None),
    ("two queues' runs", "POST", "/work_pools/machines/get_scheduled_flow_runs",
     {"work_queue_names": ["<name>", "<other name>"]}, None),
    ("every queue's runs", "POST", "/work_pools/machines/get_scheduled_flow_runs", {}, None),
    ("every queue's runs by none", "POST", "/work_pools/machines/get_scheduled_flow_runs",
     {"work_queue_names": []}, None),
    ("the controller's runs", "POST", "/work_pools/controller/get_scheduled_flow_runs", {}, None),
    ("the controller's pool", "GET", "/work_pools/controller", None, None),
    ("all pools", "POST", "/work_pools/filter", {}, None),
    ("a change to its pool", "PATCH", "/work_pools/machines", {"is_paused": False}, None),
    ("all queues", "POST", "/work_pools/machines/queues/filter", {}, None),
    ("another queue by its name", "POST", "/work_pools/machines/queues/filter",
     {"work_queues": {"name": {"any_": ["<other name>"]}}}, None),
    ("another queue", "GET", "/work_queues/<other queue>", None, None),
    ("a new queue", "POST", "/work_pools/machines/queues", {"name": "<word>"}, "/work_queues/"),
    ("all workers", "POST", "/work_pools/machines/workers/filter", {}, None),
    ("another worker's heartbeat", "POST", "/work_pools/machines/workers/heartbeat",
     {"name": "<word>"}, "/work_pools/machines/workers/<word>"),
    ("another deployment", "GET", "/deployments/<other deployment>", None, None),
    ("all deployments", "POST", "/deployments/filter", {}, None),
    ("a new deployment", "POST", "/deployments/", {"name": "<word>", "flow_id": "<flow>"}, "/deployments/"),
    ("a change to its deployment", "PATCH", "/deployments/<deployment>", {"description": "x"}, "not tried"),
    ("another flow", "GET", "/flows/<other flow>", None, None),
    ("a variable", "POST", "/variables/", {"name": "<word>", "value": "x"}, "/variables/"),
    ("all variables", "POST", "/variables/filter", {}, None),
    ("all automations", "POST", "/automations/filter", {}, None),
    ("all artifacts", "POST", "/artifacts/filter", {}, None),
    ("its lease, to read", "GET", "/artifacts/<own lease>", None, None),
    ("another's artifact", "PATCH", "/artifacts/<other artifact>", {"data": 2}, None),
    ("another's lease", "PATCH", "/artifacts/<other lease>", {"data": "x"}, None),
    ("an artifact of another run", "POST", "/artifacts/",
     {"key": "node-x", "data": 1, "flow_run_id": "<other run>"}, "/artifacts/"),
    ("an artifact of no run", "POST", "/artifacts/", {"key": "node-x", "data": 1}, "/artifacts/"),
    ("an artifact in another's place", "POST", "/artifacts/",
     {"key": "progress", "data": 1, "flow_run_id": "<run>"}, "/artifacts/"),
    ("an artifact of another's task run", "POST", "/artifacts/",
     {"key": "node-x", "data": 1, "flow_run_id": "<run>", "task_run_id": "<other task run>"}, "/artifacts/"),
    ("logs of another run", "POST", "/logs/", [LOG | {"flow_run_id": "<other run>"}], None),
    ("logs of its run, then of another", "POST", "/logs/",
     [LOG | {"flow_run_id": "<run>"}, LOG | {"flow_run_id": "<other run>"}], None),
    ("logs of another's task run", "POST", "/logs/",
     [LOG | {"flow_run_id": "<run>", "task_run_id": "<other task run>"}], None),
    ("a page in the place of its lease", "PATCH", "/artifacts/<own lease>", {"data": "![x](https://x/y)"}, None),
    ("a lease of a negative bill", "PATCH", "/artifacts/<own lease>",
     {"metadata_": {"lease": '{"beat": 1, "phase": "working", "sent_bytes": -1}'}}, None),
    ("a picture from elsewhere", "POST", "/artifacts/",
     {"key": "node-x", "type": "image", "data": "https://x/y.png", "flow_run_id": "<run>"}, "/artifacts/"),
    ("a log line of another's task run", "POST", "/logs/",
     [LOG | {"flow_run_id": "<run>", "task_run_id": "<other task run>"}], None),
    ("a log line of no level", "POST", "/logs/", [LOG | {"flow_run_id": "<run>", "level": -1}], None),
    ("logs of no run", "POST", "/logs/", [LOG], None),
    ("all logs", "POST", "/logs/filter", {}, None),
    ("events by HTTP", "POST", "/events", [], None),
    ("all events", "POST", "/events/filter", {}, None),
    ("another's task run", "GET", "/task_runs/<other task run>", None, None),
    ("another's task run's state", "POST", "/task_runs/<other task run>/set_state",
     {"state": CANCELLED, "force": True}, None),
    ("a new task run", "POST", "/task_runs/",
     {"flow_run_id": "<other run>", "task_key": "k", "dynamic_key": "<new>"}, "/task_runs/"),
    ("all limits", "POST", "/v2/concurrency_limits/filter", {}, None),
    ("the server's settings", "GET", "/admin/settings", None, None),
    ("an empty database", "POST", "/admin/database/clear", {"confirm": False}, "not tried"),
    ("saved searches", "POST", "/saved_searches/filter", {}, None),
    ("the API's description", "GET", "/openapi.json", None, "not tried"),
]  # fmt: skip


@pytest.mark.parametrize("case", FORBIDDEN, ids=[case[0] for case in FORBIDDEN])
def test_call_is_rejected_by_proxy_only(world: World, case: tuple[str, str, str, Any, str | None]) -> None:
    _, method, path, body, undo = case
    path, body = world.filled(path), world.filled(body)
    with world.own.client() as machine:
        refused = machine.request(method, path, json=body)
    assert refused.status_code == 403
    assert len(refused.text.splitlines()) == 1
    if undo == "not tried":
        return
    done = world.api.request(method, path, json=body)
    assert done.is_success, f"{done.status_code} {done.text}"
    if undo is not None:
        what = world.filled(undo)
        world.api.delete(what if "<" in undo else f"{what}{done.json()['id']}").raise_for_status()


def test_own_resources_are_accessible(world: World) -> None:
    ids = world.ids
    scheduled = {"work_queue_names": [world.own.name]}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/admin/version", None),
        ("GET", f"/flow_runs/{ids['run']}", None),
        ("GET", f"/deployments/{ids['deployment']}", None),
        ("GET", f"/flows/{ids['flow']}", None),
        ("GET", "/work_pools/machines", None),
        ("POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": [ids["run"]]}}, "limit": None}),
        ("POST", "/logs/", [LOG | {"flow_run_id": ids["run"]}]),
        ("PATCH", f"/artifacts/{ids['own lease']}", {"metadata_": Lease(1, Phase.BOOTING).to_metadata()}),
    ]
    with world.own.client() as machine:
        for method, path, body in calls:
            answer = machine.request(method, path, json=body)
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        found = machine.post("/work_pools/machines/get_scheduled_flow_runs", json=scheduled).json()
        assert [one["flow_run"]["id"] for one in found] == [world.own.run_id]
        assert machine.get("/admin/storage").json() == {"default_result_storage_block_id": None}
        asked_twice = f'{{"work_queue_names": ["{world.other.name}"], "work_queue_names": ["{world.own.name}"]}}'
        found = machine.post("/work_pools/machines/get_scheduled_flow_runs", content=asked_twice).json()
        assert [one["flow_run"]["id"] for one in found] == [world.own.run_id]
        assert machine.post("/flow_runs/filter", json={"flow_runs": {"id": {"any_": []}}}).json() == []


def raw(world: World, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of a request whose path is sent without normalization."""
    connection = http.client.HTTPConnection(world.proxy.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Authorization": basic(world.own.auth)} | (headers or {}))
        return connection.getresponse().status


def test_paths_are_not_normalized(world: World) -> None:
    own, other = world.own.run_id, world.other.run_id
    assert raw(world, "GET", f"/api/flow_runs/{own}") == 200
    for path in (
        f"/api/flow_runs/{own}/../{other}",
        f"/api/flow_runs/{own}%2f..%2f{other}",
        f"/api/flow_runs/%2e%2e/flow_runs/{other}",
        f"/api//flow_runs/{own}",
        f"//api/flow_runs/{own}",
        f"/api/flow_runs/{own}/",
        f"/api/flow_runs/{own};{other}",
        f"/api/flow_runs/{own}%00",
        f"/api/flow_runs/{own.upper()}",
        f"/api/flow_runs/{own.replace('-', '')}",
        f"/API/flow_runs/{own}",
        f"/api/./flow_runs/{own}",
        "/api/flow_runs/" + "-" * 36,
        f"http://127.0.0.1/api/flow_runs/{other}",
        "/api",
        "/",
    ):
        assert raw(world, "GET", path) == 403, path
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS"):
        assert raw(world, method, f"/api/flow_runs/{own}") == 403, method
    override = {"X-HTTP-Method-Override": "DELETE", "X-Original-URL": f"/api/flow_runs/{other}"}
    assert raw(world, "GET", f"/api/flow_runs/{own}", override) == 200
    assert world.api.get(f"/flow_runs/{own}").status_code == 200


def test_bodies_are_limited_and_parsed(world: World) -> None:
    with world.own.client() as machine:
        line = LOG | {"flow_run_id": world.own.run_id}
        assert machine.post("/logs/", json=[line | {"message": "x" * 500_000}]).status_code == 201
        # The connection may be closed before the whole body is sent.
        with contextlib.suppress(httpx.WriteError):
            assert machine.post("/logs/", content=b" " * (MOST_BODY_BYTES + 1)).status_code == 403
        for body in (b"{", b"[" * 100_000, b"\xff", b'{"a": 1}', b"7", b"null", b"[[]]", b'[{"flow_run_id": {}}]'):
            assert machine.post("/logs/", content=body).status_code == 403, body[:10]
        for body in ('{"flow_runs": {"id": []}}', '{"flow_runs": 1}', '{"flow_runs": {"id": {"any_": [{}]}}}'):
            assert machine.post("/flow_runs/filter", content=body).status_code == 403, body
        assert machine.post(f"/flow_runs/{world.own.run_id}/set_state", json={"state": []}).status_code == 403
        assert machine.post("/artifacts/", json={"flow_run_id": world.own.run_id}).status_code == 403


def test_other_attempt_of_same_job_has_no_access(world: World) -> None:
    with world.other.client() as machine:
        assert machine.get(f"/flow_runs/{world.other.run_id}").status_code == 200
        assert machine.get(f"/flow_runs/{world.own.run_id}").status_code == 403


def test_machine_has_no_access_before_its_run_exists(world: World) -> None:
    job_key = new_job_key()
    lease_id = open_lease(world.client, job_key, 1)
    early = Opened(job_key, 1, lease_id, "", settings_of(world.proxy, job_key, 1, lease_id))
    with early.client() as machine:
        assert machine.get(f"/flow_runs/{world.own.run_id}").status_code == 403
        assert machine.get(f"/deployments/{world.ids['deployment']}").status_code == 403
        scheduled = {"work_queue_names": [early.name]}
        assert machine.post("/work_pools/machines/get_scheduled_flow_runs", json=scheduled).status_code == 404
    world.api.delete(f"/artifacts/{lease_id}").raise_for_status()
