"""A machine that was stopped with its host is no loss, neither of an attempt nor of its pool."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.models import Machine
from spotwave.node.contract import Ending, Outcome
from spotwave.tasks.machine.attempts import MOST_MACHINES, another, avoided, checked_outcome
from spotwave.tasks.records import Attempt, Refusal
from tests.tasks.test_expected_cost import an_offer
from tests.tasks.test_quote import a_job

AT = datetime(2026, 11, 1, tzinfo=UTC)
LOST, HOST_DOWN = Ending.LOST, Ending.HOST_DOWN


def attempt(number: int, ending: Ending, kind: str = "aws") -> Attempt:
    offer = an_offer(cloud=kind, instance_type=f"type-{number}")
    machine = Machine(
        cloud=kind, id=f"m-{number}", region="r", offer=offer, job_key="sw-0", attempt=number, launched_at=AT
    )
    refused = Refusal(offer=an_offer(cloud=kind, instance_type=f"full-{number}"), kind="capacity", reason="none left")
    outcome = Outcome(ending, "so")
    return Attempt(
        number=number, machine=machine, node_run_id=None, refusals=[refused], why="", outcome=outcome, ended_at=AT
    )


def test_only_losses_count_as_attempts_and_machines_are_limited() -> None:
    job = a_job(max_attempts=2)
    assert another(job, [attempt(1, LOST), attempt(2, HOST_DOWN), attempt(3, HOST_DOWN)])
    assert not another(job, [attempt(1, LOST), attempt(2, HOST_DOWN), attempt(3, LOST)])
    assert not another(job, [attempt(number, HOST_DOWN) for number in range(1, MOST_MACHINES + 1)])


def test_failed_pools_are_avoided_but_never_the_users_own_computer() -> None:
    found = avoided([attempt(1, LOST), attempt(2, HOST_DOWN), attempt(3, LOST, "local")], {"aws"})
    assert found == {
        "aws type-1 r": "lost in attempt 1",
        "aws full-1 r": "refused in attempt 1",
        "aws full-2 r": "refused in attempt 2",
    }


@pytest.mark.parametrize(
    ("has_market", "reported", "expected"), [(False, HOST_DOWN, HOST_DOWN), (True, HOST_DOWN, LOST), (True, LOST, LOST)]
)
def test_host_down_is_accepted_from_local_machines_only(
    tmp_path: Path, has_market: bool, reported: Ending, expected: Ending
) -> None:
    """Otherwise a machine that always reports this would be replaced forever."""
    cloud = AzureCloud() if has_market else LocalCloud(folder=str(tmp_path))
    assert checked_outcome(Outcome(reported, "so"), cloud).ending is expected
