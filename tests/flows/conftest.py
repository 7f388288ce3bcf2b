"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from deployments.api import Api
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
def reference(embedded: Embedded) -> dict[str, Any]:
    """The result of CALCULATION on a machine that nobody disturbs."""
    with embedded.api.in_use(embedded.home), get_client(sync_client=True) as found:
        undisturbed = start(embedded, found, **CALCULATION)
        result = undisturbed.completed()
        nothing_left(undisturbed)
    return result
