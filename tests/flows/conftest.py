"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.deployments.api import Api
from tests.conftest import MANY_VCPUS, Embedded
from tests.faults.hooked import Hooked
from tests.faults.steps import STEPS
from tests.flows.clouds_kit import Emulated, three_clouds
from tests.flows.kit import USD_H, Job, get_client, nothing_left, saved, start

Start = Callable[..., Job]


@pytest.fixture
def client(prefect_api: Api) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


@pytest.fixture
def job(embedded: Embedded, client: SyncPrefectClient, hooked: Hooked) -> Iterator[Start]:
    """Start jobs, with a process that waits at a step; afterwards check that none of them left anything behind."""
    with _starting(embedded, client, hooked) as begin:
        yield begin


@pytest.fixture(scope="module")
def early(embedded: Embedded, hooked: Hooked) -> Iterator[Start]:
    """Like `job`, for jobs of several tests that mostly wait, so that they wait together."""
    with (
        embedded.api.in_use(embedded.home),
        get_client(sync_client=True) as client,
        _starting(embedded, client, hooked) as begin,
    ):
        yield begin


@pytest.fixture(scope="module")
def clouds(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Emulated]]:
    """The emulated clouds by kind, with machines that boot."""
    with three_clouds(embedded, tmp_path_factory.mktemp("clouds")) as found:
        yield found


@contextmanager
def _starting(embedded: Embedded, client: SyncPrefectClient, hooked: Hooked) -> Iterator[Start]:
    started: list[Job] = []

    def begin(at: str = "", **parameters: Any) -> Job:
        started.append(start(embedded, client, (hooked, STEPS[at]) if at else None, **parameters))
        return started[-1]

    yield begin
    for one in started:
        if one.plan is not None:
            one.plan.forget()
        if not one.deleted:
            one.finished()
        nothing_left(one)


@pytest.fixture(scope="module")
def priced(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Parameters of a job whose machines have a price, with its own ledger."""
    cloud = LocalCloud(folder=str(embedded.home.machines), prices={"local-1": USD_H}, pretend_vcpus=MANY_VCPUS)
    store = SnapshotStore(url=str(tmp_path_factory.mktemp("ledger")))
    with saved(embedded, "priced", cloud, store) as (its_cloud, its_store):
        yield {"clouds": [its_cloud], "store": its_store, "requirements": {"max_vcpus": 1}}


@pytest.fixture(scope="module")
def ledger_store(embedded: Embedded, priced: dict[str, Any]) -> SnapshotStore:
    with embedded.api.in_use(embedded.home):
        found = SnapshotStore.load("priced")
    assert isinstance(found, SnapshotStore)
    return found
