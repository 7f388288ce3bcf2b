"""The walk down the ranking, on an emulated AWS: what each refusal covers, and that no second machine is launched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from spotwave.blocks.models import Requirements
from spotwave.node.contract import job_key_of
from spotwave.tasks.machine.provision import NoMachine, open_lease, provision
from spotwave.tasks.machine.walk_offers import MOST_TRIES
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from spotwave.tasks.records import Job, Placed, Unplaced
from tests.conftest import Embedded
from tests.emulators.aws import AwsEmulator, fault, refused, throttled
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.server import cut
from tests.flows.kit import saved

pytestmark = pytest.mark.slow

Walk = Callable[..., tuple[Placed | str, list[dict[str, str]]]]


@pytest.fixture
def aws() -> Iterator[AwsEmulator]:
    with AwsEmulator(boots=False) as emulator:
        yield emulator


@pytest.fixture
def walk(embedded: Embedded, aws: AwsEmulator, tmp_path: Path) -> Iterator[Walk]:
    """Provision the first attempt of a new job; return the machine or the message, and the rows of the run's table."""
    cloud = cloud_at(aws, attempts=2)

    @flow(name="walk")
    def one(starts: int) -> tuple[Placed | str, str]:
        run_id = UUID(flow_run.id)
        job = Job(
            key=job_key_of(run_id),
            flow_run_id=run_id,
            node="shci-node/machine",
            parameters={},
            requirements=Requirements(),
            clouds=["aws-cloud/walked"],
            remote="rclone-remote/here",
            access="prefect-access/here",
            store="snapshot-store/here",
            results=tmp_path,
        )
        choice = rank(cloud.market(), job.requirements, Work(1.0), {})
        lease = open_lease(job, 1)
        found: Placed | str = "nothing"
        for start in range(1, starts + 1):
            try:
                placed = provision.fn(job, 1, choice, lease, 4e9, start)  # not persisted, as if the engine had crashed
                assert placed is not None
                found = placed.said if isinstance(placed, Unplaced) else placed
            except NoMachine as error:
                found = str(error)
        return found, flow_run.id

    def go(starts: int = 1) -> tuple[Placed | str, list[dict[str, str]]]:
        found, run_id = one(starts)
        with get_client(sync_client=True) as client:
            return found, rows_of(client, UUID(run_id))

    with (
        saved(embedded, "walked", cloud),
        embedded.api.in_use(embedded.home),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield go


def rows_of(client: SyncPrefectClient, run_id: UUID) -> list[dict[str, Any]]:

    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    found = [one for one in client.read_artifacts(artifact_filter=wanted) if one.key == "launches"]
    return json.loads(str(found[-1].data)) if found else []


def launches(aws: AwsEmulator) -> int:
    return len([item for item in aws.ledger.items("machine")])


def test_capacity_excludes_the_pool_and_a_quota_all_but_smaller_offers(aws: AwsEmulator, walk: Walk) -> None:
    _, rows = walk()
    first = rows[0]["offer"].split()
    aws.exhausted.add((first[1], first[2]))
    found, rows = walk()
    assert isinstance(found, Placed)
    assert [row["result"] for row in rows] == ["refused: capacity", "launched"]
    assert rows[1]["details"] == found.machine.id
    region = found.machine.region
    aws.heal()
    aws.fail(fault("RunInstances", refused("MaxSpotInstanceCountExceeded"), region))
    found, rows = walk()
    assert isinstance(found, Placed)
    first, *refusals, last = [row["result"] for row in rows]
    assert (first, set(refusals), last) == ("refused: capacity", {"refused: quota"}, "launched")
    assert found.machine.region != region
    assert len(refusals) < 4, "in that region, only offers smaller than the refused one"


def test_misconfiguration_ends_the_walk_with_a_remedy(aws: AwsEmulator, walk: Walk) -> None:
    aws.fail(fault("RunInstances", refused("UnauthorizedOperation")))
    found, rows = walk()
    assert isinstance(found, str)
    assert "deployments/policies/aws-launcher.json" in found
    assert [row["result"] for row in rows] == ["refused: misconfigured"]
    assert launches(aws) == 0


def test_unknown_error_code_is_retried_elsewhere_within_limits(aws: AwsEmulator, walk: Walk) -> None:
    aws.fail(fault("RunInstances", refused("SomethingNew", 400)))
    found, rows = walk()
    assert isinstance(found, str)
    assert found.startswith("no machine available:")
    assert 1 < len(rows) <= MOST_TRIES
    assert {row["result"] for row in rows} == {"refused: unclear"}


def test_throttling_and_lost_answers_do_not_launch_a_second_machine(
    aws: AwsEmulator, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spotwave.tasks.machine.walk_offers.LONGEST_WAIT_S", 0.01)
    faults = [(throttled(), 2, 3), (cut(), 1, 2)]
    for what_goes_wrong, times, calls in faults:
        aws.calls.clear()
        before = launches(aws)
        aws.fail(fault("RunInstances", what_goes_wrong, times=times))
        found, rows = walk()
        assert isinstance(found, Placed)
        assert [row["result"] for row in rows] == ["launched"]
        assert len([call for call in aws.calls if call.startswith("RunInstances")]) == calls
        assert launches(aws) == before + 1


def test_restarted_run_adopts_the_machine_of_its_attempt(aws: AwsEmulator, walk: Walk) -> None:
    aws.fail(fault("DescribeInstances", refused("InternalError", 500), times=3))
    found, _ = walk(starts=2)
    assert isinstance(found, Placed)
    assert launches(aws) == 1
