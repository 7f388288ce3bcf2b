"""A machine under a limit, on an emulated AWS: it gets a deadline, and its price is watched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from spotwave.node.contract import Ending, Limit, Outcome, job_key_of
from spotwave.tasks.cost.quote import hourly_usd
from spotwave.tasks.cost.reserve import TEARDOWN_S
from spotwave.tasks.machine.provision import open_lease, provision
from spotwave.tasks.machine.watch import PRICES_S, _Watch
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from spotwave.tasks.records import Allowance, Placed
from tests.conftest import Embedded
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at
from tests.flows.kit import saved
from tests.tasks.test_quote import a_job

pytestmark = pytest.mark.slow

HOURS = 2.0


@pytest.fixture
def aws() -> Iterator[AwsEmulator]:
    with AwsEmulator(boots=False) as emulator:
        yield emulator


def test_machine_gets_a_deadline_and_is_stopped_when_its_price_rises(
    embedded: Embedded, aws: AwsEmulator, tmp_path: Path
) -> None:
    cloud, begun = cloud_at(aws, attempts=2), time.time()

    @task
    def priced(placed: Placed, job_key: str, allowance: Allowance, rises: float) -> Outcome | None:
        job = a_job(key=job_key, flow_run_id=flow_run.parent_flow_run_id or flow_run.id)
        watch = _Watch(job, placed.machine, "aws-cloud/priced", "", UUID(int=1), 1, allowance)
        assert watch.check_price() is None, "not yet"
        watch.priced -= PRICES_S
        aws.reprice(placed.machine.id, rises * placed.machine.offer.spot_usd_h)
        return watch.check_price()

    @flow(name="allowed")
    def one() -> tuple[Placed, Outcome | None, Outcome | None]:
        run_id = UUID(flow_run.id)
        key = job_key_of(run_id)
        job = a_job(key=key, flow_run_id=run_id, clouds=["aws-cloud/priced"], results=tmp_path)
        choice = rank(cloud.market(), job.requirements, Work(1.0), {})
        usd_h = hourly_usd(choice.ranked[0].offer, job.requirements.disk_gib)
        egress = choice.ranked[0].offer.egress_usd_gib * job.results_gib
        allowance = Allowance(usd=HOURS * usd_h + egress, limit=Limit.MAX_USD, said="max_usd: of so much", at=begun)
        placed = provision.fn(job, 1, choice, open_lease(job, 1), begun + 86400, 1, allowance)
        assert isinstance(placed, Placed)
        return placed, priced(placed, key, allowance, 1.0), priced(placed, key, allowance, 1000.0)

    with (
        saved(embedded, "priced", cloud),
        embedded.api.in_use(embedded.home),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        placed, steady, risen = one()
    assert placed.machine.deadline == pytest.approx(begun + HOURS * 3600 - TEARDOWN_S, abs=2)
    assert steady is None
    assert risen is not None
    assert risen.ending is Ending.DEADLINE
    assert risen.limit is Limit.MAX_USD
    assert "max_usd: of so much" in risen.reason
