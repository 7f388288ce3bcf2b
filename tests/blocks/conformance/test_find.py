"""Machines are found by their tags alone, and a missing answer never counts as an empty one."""

from __future__ import annotations

import pytest

from spotwave.blocks.errors import LaunchRefused, Throttled
from spotwave.blocks.models import MachineState
from tests.blocks.conformance.wing import OTHER_JOB, RentedWing, Wing, brief
from tests.blocks.machine_kit import JOB_KEY, old, same
from tests.emulators.server import cut


def test_machines_are_found_in_all_regions_by_job_or_all_together(wing: Wing) -> None:
    """Found by a new process whose block is limited to the market of one region."""
    if isinstance(wing, RentedWing):
        wing.small_pages()
    first = wing.launch()
    second = wing.launch(brief(attempt=2), wing.elsewhere)
    other = wing.launch(brief(OTHER_JOB), wing.another_type)
    block = wing.block(regions=[wing.offer.region]) if isinstance(wing, RentedWing) else wing.block()
    assert {one.id for one in block.find()} == {first.id, second.id, other.id}
    assert {one.id for one in block.find(JOB_KEY)} == {first.id, second.id}
    assert all(any(same(one, launched) for launched in (first, second, other)) for one in block.find())
    assert block.find("sw-000000000000") == []


def test_machine_of_another_owner_is_not_found(rented: RentedWing) -> None:
    rented.disown(rented.launch())
    ours = rented.launch(brief(attempt=2))
    assert [one.id for one in rented.block().find()] == [ours.id]


def test_machine_of_a_newer_version_is_found(rented: RentedWing) -> None:
    """Its offer cannot be parsed, but it bills."""
    machine = rented.launch()
    rented.forget_offer(machine)
    (found,) = rented.block().find(JOB_KEY)
    assert (found.id, found.job_key, found.attempt) == (machine.id, JOB_KEY, 1)
    assert found.offer.instance_type == "unknown"


@pytest.mark.parametrize("wrong", ["500", "throttled", "cut"])
def test_transient_fault_is_retried(rented: RentedWing, wrong: str) -> None:
    machine, at = rented.launch(), rented.machines()
    answer = {"500": rented.server_error, "throttled": rented.throttled, "cut": cut()}[wrong]
    rented.spoil("list", answer, times=1)
    assert [one.id for one in at.find()] == [machine.id]
    rented.spoil("state", answer, times=1)
    assert at.state(machine) is MachineState.RUNNING


def test_cloud_without_an_answer_does_not_count_as_empty(rented: RentedWing) -> None:
    machine = rented.launch()
    for call in ("list", "state"):
        rented.refuse(call, rented.server_error)
    with pytest.raises(Throttled):
        rented.machines().find()
    with pytest.raises(Throttled):
        rented.machines().state(machine)
    rented.deny("leftovers")
    with pytest.raises(LaunchRefused):
        rented.block().leftovers()


def test_machine_not_visible_yet_is_pending_and_later_gone(rented: RentedWing) -> None:
    machine, at = rented.launch(), rented.machines()
    rented.hide(machine, 3)
    assert at.state(machine) is MachineState.PENDING
    assert at.state(old(machine)) is MachineState.GONE
    assert at.state(machine) is MachineState.PENDING
    assert at.state(machine) is MachineState.RUNNING
