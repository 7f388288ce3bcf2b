"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from deployments.api import Api
from tests.conftest import Embedded
from tests.faults.hooked import Hooked
from tests.faults.steps import STEPS
from tests.flows.kit import Job, get_client, nothing_left, start

Start = Callable[..., Job]


@pytest.fixture
def client(prefect_api: Api) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


@pytest.fixture
def job(embedded: Embedded, client: SyncPrefectClient, hooked: Hooked) -> Iterator[Start]:
    """Start jobs, with a process that waits at a step; afterwards none of them may have left anything behind."""
    started: list[Job] = []

    def begin(at: str = "", **parameters: Any) -> Job:
        started.append(start(embedded, client, (hooked, STEPS[at]) if at else None, **parameters))
        return started[-1]

    yield begin
    for one in started:
        if one.plan is not None:
            one.plan.forget()
        one.finished(60)
        nothing_left(one)
