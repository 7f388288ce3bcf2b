"""Fixtures of the end-to-end tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from deployments.api import Api
from node.contract import write_text
from tests.conftest import Embedded
from tests.flows.kit import CALCULATION, Job, get_client, nothing_left, start

Start = Callable[..., Job]


@pytest.fixture
def client(prefect_api: Api) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


@pytest.fixture
def job(embedded: Embedded, client: SyncPrefectClient) -> Iterator[Start]:
    """Start jobs; afterwards none of them may have left anything behind."""
    started: list[Job] = []

    def begin(**parameters: Any) -> Job:
        started.append(start(embedded, client, **parameters))
        return started[-1]

    yield begin
    for one in started:
        one.finished(60)
        nothing_left(one)


@pytest.fixture(scope="session")
def reference(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of CALCULATION on a machine that nobody disturbs; another process of this session may have it."""
    ours = tmp_path_factory.getbasetemp()
    kept = (ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "reference.json"
    if not kept.exists():
        write_text(kept, json.dumps(_undisturbed(embedded)))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def _undisturbed(embedded: Embedded) -> dict[str, Any]:
    with embedded.api.in_use(embedded.home), get_client(sync_client=True) as found:
        undisturbed = start(embedded, found, **CALCULATION)
        result = undisturbed.completed()
        nothing_left(undisturbed)
    return result
