"""A machine that was stopped with its host is no loss: not of an attempt, nor of its pool's."""

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


def test_only_losses_use_up_attempts_and_the_number_of_machines_has_an_end() -> None:
    job = a_job(max_attempts=2)
    assert another(job, [attempt(1, LOST), attempt(2, HOST_DOWN), attempt(3, HOST_DOWN)])
    assert not another(job, [attempt(1, LOST), attempt(2, HOST_DOWN), attempt(3, LOST)])
    assert not another(job, [attempt(number, HOST_DOWN) for number in range(1, MOST_MACHINES + 1)])


def test_pools_that_lost_or_refused_a_machine_are_avoided_and_a_computer_of_ones_own_never() -> None:
    found = avoided([attempt(1, LOST), attempt(2, HOST_DOWN), attempt(3, LOST, "local")], {"aws"})
    assert found == {
        "aws type-1 r": "lost in attempt 1",
        "aws full-1 r": "refused in attempt 1",
        "aws full-2 r": "refused in attempt 2",
    }


@pytest.mark.parametrize(
    ("has_market", "said", "taken_for"), [(False, HOST_DOWN, HOST_DOWN), (True, HOST_DOWN, LOST), (True, LOST, LOST)]
)
def test_a_rented_machine_is_not_believed_that_its_host_was_stopped(
    tmp_path: Path, has_market: bool, said: Ending, taken_for: Ending
) -> None:
    """Else one that says so would be replaced for ever."""
    cloud = AzureCloud() if has_market else LocalCloud(folder=str(tmp_path))
    assert checked_outcome(Outcome(said, "so"), cloud).ending is taken_for
