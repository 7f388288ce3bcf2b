"""A launch creates one machine per job, attempt and offer, despite repetitions and faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from spotwave.blocks.errors import Throttled
from spotwave.blocks.models import Machine
from tests.blocks.conformance.wing import OTHER_JOB, RentedWing, Wing, brief
from tests.blocks.machine_kit import JOB_KEY, same
from tests.emulators.server import Answer, cut, garbage, lost


def test_launch_returns_the_requested_machine(wing: Wing) -> None:
    what = brief()
    machine = wing.launch(what)
    assert machine == Machine(
        cloud=wing.kind,
        id=machine.id,
        region=wing.offer.region,
        zone=wing.offer.zone,
        offer=wing.offer,
        job_key=JOB_KEY,
        attempt=1,
        launched_at=machine.launched_at,
        deadline=machine.deadline,
        disk_gib=wing.disk_gib,
    )
    assert int(machine.deadline or 0) == int(what.brief.deadline)
    assert machine.launched_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - machine.launched_at) < timedelta(minutes=1)
    assert wing.left() == wing.parts


def test_repeated_launch_returns_the_same_machine(wing: Wing) -> None:
    """Also from another process, after the market was read again."""
    what = brief()
    first = wing.launch(what)
    later = wing.offer.model_copy(update={"spot_usd_h": 2 * wing.offer.spot_usd_h, "seen_at": datetime.now(UTC)})
    assert same(wing.launch(what), first)
    assert wing.launch(what, later).id == first.id
    assert wing.made() == len(set(wing.tokens())) == 1
    assert wing.left() == wing.parts


def test_other_offer_attempt_or_job_gets_another_machine(wing: Wing) -> None:
    asked = [
        (brief(), wing.offer),
        (brief(), wing.another_type),
        (brief(attempt=2), wing.offer),
        (brief(OTHER_JOB), wing.offer),
        *([(brief(), wing.next_zone), (brief(), wing.elsewhere)] if isinstance(wing, RentedWing) else []),
    ]
    launched = [wing.launch(what, offer) for what, offer in asked]
    assert len({machine.id for machine in launched}) == len(set(wing.tokens())) == wing.made() == len(asked)
    assert [machine.offer for machine in launched] == [offer for _, offer in asked]
    if isinstance(wing, RentedWing):
        assert all(token.isascii() and len(token) <= wing.longest_token for token in wing.tokens())


@pytest.mark.parametrize("answer", [cut(), lost(), garbage(), "500"], ids=["cut", "lost", "garbage", "500"])
def test_launch_with_a_lost_answer_creates_one_machine(rented: RentedWing, answer: Answer | str) -> None:
    rented.spoil("launch", rented.server_error if isinstance(answer, str) else answer, times=1)
    machine = rented.launch()
    assert rented.made() == len(set(rented.tokens())) == 1
    assert [one.id for one in rented.block().find()] == [machine.id]


@pytest.mark.parametrize("rented", ["aws", "azure"], indirect=True)
def test_machine_is_found_if_no_answer_to_its_launch_arrives(rented: RentedWing) -> None:
    """On Google Cloud it is deleted instead."""
    rented.spoil("launch", cut())
    machine = rented.launch()
    assert rented.made() == 1
    assert [one.id for one in rented.block().find()] == [machine.id]


def test_launch_that_always_fails_is_tried_a_few_times_and_leaves_nothing(rented: RentedWing) -> None:
    rented.refuse("launch", rented.server_error)
    with pytest.raises(Throttled):
        rented.launch()
    assert 1 < rented.asked("launch") <= rented.most_tries
    assert rented.left() == rented.kept


def test_throttled_launch_keeps_its_token(rented: RentedWing) -> None:
    rented.refuse("launch", rented.throttled)
    what = brief()
    with pytest.raises(Throttled) as refused:
        rented.launch(what)
    assert refused.value.retry_after_s >= 0
    assert rented.left() == rented.kept
    rented.emulator.heal()
    before = rented.tokens()
    rented.launch(what)
    assert len(rented.tokens()) > len(before) > 0
    assert len(set(rented.tokens())) == rented.made() == 1


def test_network_failure_is_throttled(rented: RentedWing) -> None:
    rented.go_away()
    for call in (rented.launch, rented.machines().find):
        with pytest.raises(Throttled):
            call()
    assert rented.left() == []
