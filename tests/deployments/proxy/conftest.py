"""Fixtures for the proxy's tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client

from tests.conftest import Embedded
from tests.deployments.proxy.kit import World, as_controller, close_attempt, open_attempt, serving


@pytest.fixture(scope="package")
def world(embedded: Embedded) -> Iterator[World]:
    with embedded.api.in_use(embedded.home), get_client(sync_client=True) as client, serving() as proxy:
        own = open_attempt(client, proxy)
        other = open_attempt(client, proxy, own.job_key, 2)
        with as_controller(embedded.api.url) as api:
            run = api.get(f"/flow_runs/{own.run_id}").json()
            deployments = api.post("/deployments/filter", json={}).json()
            task_run = {"flow_run_id": other.run_id, "task_key": "t", "dynamic_key": "0"}
            artifact = {"key": "node-progress", "data": 1, "flow_run_id": other.run_id}
            queues = api.post("/work_pools/machines/queues/filter", json={}).json()
            yield World(
                client,
                proxy,
                own,
                other,
                api,
                {
                    "run": own.run_id,
                    "other run": other.run_id,
                    "own lease": own.lease_id,
                    "other lease": other.lease_id,
                    "name": own.name,
                    "other name": other.name,
                    "flow": run["flow_id"],
                    "deployment": run["deployment_id"],
                    "other deployment": next(one["id"] for one in deployments if one["id"] != run["deployment_id"]),
                    "other flow": next(one["flow_id"] for one in deployments if one["flow_id"] != run["flow_id"]),
                    "other queue": next(one["id"] for one in queues if one["name"] == other.name),
                    "other task run": api.post("/task_runs/", json=task_run).json()["id"],
                    "other artifact": api.post("/artifacts/", json=artifact).json()["id"],
                    "new": str(uuid4()),
                    "word": f"proxy-test-{uuid4().hex[:8]}",
                },
            )
        close_attempt(client, own)
        close_attempt(client, other)
