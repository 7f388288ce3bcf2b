"""The proxy's websockets: which exist, who may open them, and which events are forwarded."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from spotwave.blocks.access import basic
from tests.deployments.proxy.kit import (
    World,
    event_about,
    events_known,
    eventually,
    forged,
    socket_of,
    task_run_event,
)


@pytest.mark.parametrize("path", ["/events/in", "/events/out"])
def test_websocket_needs_valid_token(world: World, path: str) -> None:
    with socket_of(world.own, path):
        pass
    for what, token in forged(world).items():
        with pytest.raises(ConnectionClosed) as closed:
            socket_of(world.own, path, f"machine:{token}")
        assert closed.value.rcvd is not None, what
        assert closed.value.rcvd.code == 1008, what
    url = world.own.settings["PREFECT_API_URL"].replace("http", "ws", 1) + path
    with connect(url, subprotocols=[Subprotocol("prefect")], proxy=None) as socket:
        socket.send(
            json.dumps(event_about("flow-run", world.own.run_id, world.own.run_id, "prefect.flow-run.heartbeat"))
        )
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, additional_headers={"Authorization": basic(world.own.auth)}, proxy=None)


@pytest.mark.parametrize(
    "path", ["/work_pools/machines/workers/connect", "/work_pools/controller/workers/connect", "/logs/out", "/x"]
)
def test_other_websockets_do_not_exist(world: World, path: str) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        socket_of(world.own, path)


def test_events_about_other_resources_are_dropped(world: World) -> None:
    own, other = world.own.run_id, world.other.run_id
    beat, running = "prefect.flow-run.heartbeat", "prefect.task-run.Running"
    tagged = [{"prefect.resource.id": "prefect.tag.theirs", "prefect.resource.role": "tag"}]
    flow_run = [{"prefect.resource.id": f"prefect.flow-run.{own}", "prefect.resource.role": "flow-run"}]
    taken = str(uuid4())
    forbidden = {
        "another run": event_about("flow-run", other, other, beat),
        "another run as a relation": event_about("flow-run", own, other, beat),
        "a state of its own run": event_about("flow-run", own, own, "prefect.flow-run.Completed"),
        "another worker": event_about("worker.process", world.other.name, own, "prefect.worker.stopped"),
        "the controller's worker": event_about("worker.process", "controller", own, "prefect.worker.stopped"),
        "a deployment": event_about("deployment", world.ids["deployment"], own, "prefect.deployment.ready"),
        "an automation's": event_about("automation", taken, own, "prefect.automation.triggered"),
        "no kind of Prefect's": event_about("x", taken, own, "x") | {"resource": {"prefect.resource.id": "mine"}},
        "another's artifact": event_about("artifact", world.ids["other artifact"], own, "prefect.artifact.updated"),
        "another's tag": event_about("flow-run", own, own, beat, related=flow_run + tagged),
        "another's task run": task_run_event(world.ids["other task run"], own),
        "a task run of another run": task_run_event(str(uuid4()), other),
        "a task run of no run": task_run_event(str(uuid4()), own) | {"related": []},
        "a payload with another run": task_run_event(str(uuid4()), own, flow_run_id=other),
        "a payload with another id": task_run_event(str(uuid4()), own, id=world.ids["other task run"]),
        "a runner of no run": event_about("runner", "standalone", own, "prefect.runner.cancelled-flow-run", related=[]),
        "a runner's, of another run": event_about("runner", "standalone", other, "prefect.runner.cancelled-flow-run"),
        "a misspelt subject": event_about("task-run", own, own, beat),
    }  # fmt: skip
    allowed = [
        event_about("flow-run", own, own, beat),
        event_about("worker.process", world.own.name, own, "prefect.worker.started", related=[]),
        task_run_event(taken, own),
        event_about("runner", "standalone", own, "prefect.runner.cancelled-flow-run"),
    ]
    assert allowed[2]["event"] == running
    with socket_of(world.own, "/events/in") as socket:
        for event in (*forbidden.values(), "x", [], {"event": 1}, *allowed):
            socket.send(json.dumps(event))
        let_in = {event["id"] for event in allowed}
        eventually("the allowed events arrive", lambda: events_known(world.api, list(let_in)) == let_in)
    # Events are processed in order: if the last one is stored, the earlier missing ones were dropped.
    ids = {event["id"]: what for what, event in forbidden.items()}
    assert [ids[id_] for id_ in events_known(world.api, list(ids))] == []
    eventually("its task run is recorded", lambda: world.api.get(f"/task_runs/{taken}").is_success)
    assert world.api.get(f"/task_runs/{taken}").json()["flow_run_id"] == own
    # Without the proxy, the server accepts it.
    payload = task_run_event(world.ids["other task run"], own)
    world.api.post("/events", json=[payload]).raise_for_status()
    others = f"/task_runs/{world.ids['other task run']}"
    eventually("the server believes it", lambda: world.api.get(others).json()["flow_run_id"] == own)
    world.api.post("/events", json=[task_run_event(world.ids["other task run"], other)]).raise_for_status()
    eventually("and the other way round", lambda: world.api.get(others).json()["flow_run_id"] == other)


def test_machine_receives_only_own_cancellation(world: World) -> None:
    running = {"state": {"type": "RUNNING", "name": "Running"}, "force": True}
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": True}
    occurred = {"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}
    asked = {"type": "filter", "filter": {"event": {"name": ["prefect.flow-run.Cancelling"]}, "occurred": occurred}}
    with socket_of(world.own, "/events/out") as socket:
        socket.send(json.dumps(asked))

        def told() -> Any | None:
            # Repeated, because events between the request and the server's subscription are lost.
            for run_id in (world.other.run_id, world.own.run_id):
                for state in (running, cancelling):
                    done = world.api.post(f"/flow_runs/{run_id}/set_state", json=state)
                    assert done.json()["status"] == "ACCEPT"
            with contextlib.suppress(TimeoutError):
                return json.loads(socket.recv(timeout=0.5))
            return None

        event = eventually("an event", told)["event"]
    assert event["event"] == "prefect.flow-run.Cancelling"
    assert event["resource"]["prefect.resource.id"] == f"prefect.flow-run.{world.own.run_id}"
    for filter_ in (
        {},
        {"event": {"name": []}},
        {"event": {"name": ["prefect.block.loaded"]}},
        {"event": {"prefix": ["prefect"]}},
    ):
        with socket_of(world.own, "/events/out") as socket:
            socket.send(json.dumps({"type": "filter", "filter": filter_}))
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=30)
