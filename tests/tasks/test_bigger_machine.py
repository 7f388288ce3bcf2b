"""What too small machines and crashed programs require of the next machine, and which machine is then rented."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from spotwave.blocks.local.prices import local_market
from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Machine, Offer, Requirements
from spotwave.node.contract import Cause, Ending, Outcome
from spotwave.tasks.machine.bigger_machine import MOST_DOUBLINGS, NextMachine, next_machine
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from spotwave.tasks.records import Attempt
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at
from tests.tasks.test_select import offer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Requirements(min_memory_gib=1.0, disk_gib=20.0)


def attempt(
    number: int, cause: Cause | None, on: Offer | None = None, ending: Ending = Ending.LOST, **fields: Any
) -> Attempt:
    has_market = on or offer("small", vcpus=1, memory_gib=1.0)
    disk_gib = fields.pop("disk_gib", 20.0)
    machine = Machine(
        cloud=has_market.cloud,
        id=f"i-{number}",
        region=has_market.region,
        offer=has_market,
        job_key="sw-0123456789ab",
        attempt=number,
        launched_at=NOW,
        disk_gib=disk_gib,
    )
    return Attempt(
        number=number,
        machine=machine,
        node_run_id=None,
        refusals=[],
        why="",
        outcome=Outcome(ending, "because", cause=cause, **({"step": "run_shci"} | fields)),
        ended_at=NOW,
    )


def short_of(cause: Cause, *sizes: float) -> NextMachine:
    """Return the next machine after a series of machines with this memory or disk (GiB) that were all too small."""
    attempts = [attempt(n, cause, offer("m", memory_gib=gib), disk_gib=gib) for n, gib in enumerate(sizes, start=1)]
    return next_machine(ASKED, attempts)


def test_next_machine_has_twice_the_memory_or_disk() -> None:
    needs = short_of(Cause.MEMORY, 3.75)
    assert needs.requirements == ASKED.model_copy(update={"min_memory_gib": 7.5})
    assert needs.why == "memory: 3.75 GiB was too little at run_shci, so at least 7.5 GiB"
    assert needs.problem is None
    needs = short_of(Cause.DISK, 20.0)
    assert needs.requirements == ASKED.model_copy(update={"disk_gib": 40.0})
    assert needs.why == "disk: 20 GiB was too little at run_shci, so 40 GiB"


@pytest.mark.parametrize("cause", [Cause.MEMORY, Cause.DISK])
def test_error_after_three_doublings(cause: Cause) -> None:
    sizes = [2.0 ** (n + 5) for n in range(MOST_DOUBLINGS + 1)]
    for tried in range(1, MOST_DOUBLINGS + 1):
        needs = short_of(cause, *sizes[:tried])
        assert needs.problem is None
        grown = needs.requirements.min_memory_gib if cause is Cause.MEMORY else needs.requirements.disk_gib
        assert grown == sizes[tried]
    problem = short_of(cause, *sizes).problem
    assert problem is not None
    assert problem.startswith("requirements.min_memory_gib:" if cause is Cause.MEMORY else "requirements.disk_gib:")
    assert "256 GiB" in problem
    assert "3 doublings" in problem


def test_memory_and_disk_may_both_be_short() -> None:
    needs = next_machine(ASKED, [attempt(1, Cause.MEMORY), attempt(2, Cause.DISK), attempt(3, None)])
    assert (needs.requirements.min_memory_gib, needs.requirements.disk_gib) == (2.0, 40.0)
    assert needs.why.startswith("memory: 1 GiB")
    assert "disk: 20 GiB" in needs.why


def test_users_limit_applies() -> None:
    asked = Requirements(max_memory_gib=3.0)
    assert next_machine(asked, [attempt(1, Cause.MEMORY)]).problem is None
    problem = next_machine(
        asked, [attempt(1, Cause.MEMORY), attempt(2, Cause.MEMORY, offer("m", memory_gib=2.0))]
    ).problem
    assert problem is not None
    assert problem.startswith("requirements.max_memory_gib: 2 GiB was too little at run_shci")
    assert "4 GiB" in problem
    needs = next_machine(Requirements(max_usd_h=1.0), [attempt(1, Cause.MEMORY)])
    dear = rank(Market.of([offer("m", memory_gib=2.0, usd=9.0)]), needs.requirements, Work(1.0), {})
    assert "excluded by max_usd_h = 1" in str(dear.remedy)


def test_full_disk_of_fixed_size_ends_the_job() -> None:
    needs = next_machine(ASKED, [attempt(1, Cause.DISK)], fixed=["here"])
    assert needs.requirements == ASKED
    assert needs.problem is not None
    assert needs.problem.startswith("disk: the disk of the machines of here is full at run_shci")


# How a program ended, and whether that is the same way as the first: signal 11 at run_shci, from checkpoint 1.
FIRST: dict[str, Any] = {"signal": 11, "generation": "001-00001"}


@pytest.mark.parametrize(
    ("second", "ends"),
    [
        (FIRST, True),
        (FIRST | {"signal": 6}, False),
        (FIRST | {"signal": None, "exit_status": 11}, False),
        (FIRST | {"step": "hartree_fock"}, False),
        (FIRST | {"generation": "002-00001"}, False),
    ],
)
def test_program_that_fails_twice_in_the_same_way_ends_the_job(second: dict[str, Any], ends: bool) -> None:
    first = attempt(1, Cause.PROGRAM, **FIRST)
    assert next_machine(ASKED, [first]).problem is None
    problem = next_machine(ASKED, [first, attempt(2, Cause.PROGRAM, **second)]).problem
    assert (problem is not None) == ends
    interrupted = attempt(2, None, ending=Ending.INTERRUPTED, generation="001-00001")
    problem = next_machine(ASKED, [first, interrupted, attempt(3, Cause.PROGRAM, **second)]).problem
    assert (problem is not None) == ends, "interruptions in between change nothing"
    if problem is not None:
        assert problem.startswith("attempts 1 and 3 ended in the same way at run_shci")


def test_interruptions_and_losses_never_end_the_job() -> None:
    lost = [attempt(n, None, generation="001-00001") for n in range(1, 5)]
    interrupted = [attempt(n, None, ending=Ending.INTERRUPTED, generation="001-00001") for n in range(5, 9)]
    assert next_machine(ASKED, lost + interrupted) == NextMachine(ASKED)


def test_larger_local_size_has_at_least_twice_the_memory() -> None:
    """However its memory divides: otherwise the larger size would be excluded for a hundredth of a GiB."""
    for gib in (0.99, 1.0, 23.449, 23.45, 23.459, 31.03):
        market = local_market({}, 30.0, 2, gib)
        small, large = sorted(offers_of(market.frame), key=lambda one: one.vcpus)
        needs = next_machine(Requirements(min_memory_gib=0.1), [attempt(1, Cause.MEMORY, small)])
        choice = rank(market, needs.requirements, Work(1.0), {})
        assert [one.offer for one in choice.ranked] == [large]
        assert large.memory_gib <= gib


def test_next_offer_of_a_cloud_has_twice_the_memory() -> None:
    """On an emulated AWS: the choice before and after a machine that ran out of memory."""
    with AwsEmulator(boots=False) as aws:
        market = cloud_at(aws, regions=["us-east-1"]).market()
    first = rank(market, Requirements(), Work(1.0), {}).ranked[0].offer
    needs = next_machine(Requirements(), [attempt(1, Cause.MEMORY, first)])
    second = rank(market, needs.requirements, Work(1.0), {})
    assert second.ranked[0].offer.memory_gib >= 2 * first.memory_gib
    assert all(one.offer.memory_gib >= 2 * first.memory_gib for one in second.ranked)
    assert {"min_memory_gib"} <= {one.reason.split()[0] for one in second.rejected}
