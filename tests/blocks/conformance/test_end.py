"""States of a machine, and its end: by us, by the cloud, by itself."""

from __future__ import annotations

import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.models import MachineState
from tests.blocks.conformance import aws_wing, azure_wing, gcp_wing
from tests.blocks.conformance.conftest import RENTED
from tests.blocks.conformance.wing import RentedWing, Wing, brief
from tests.blocks.machine_kit import old, until

STATES = [
    pytest.param(wing.kind, said, state, id=f"{wing.kind} {' '.join(said)}")
    for wing in (aws_wing.AwsWing, gcp_wing.GcpWing, azure_wing.AzureWing)
    for said, state in wing.states
]
assert {one.values[0] for one in STATES} == set(RENTED)


@pytest.mark.parametrize(("rented", "said", "state"), STATES, indirect=["rented"])
def test_what_the_cloud_says_of_a_machine(rented: RentedWing, said: tuple[str, str], state: MachineState) -> None:
    machine = rented.launch()
    rented.put_into(machine, said)
    assert rented.machines().state(machine) is state


def test_a_running_machine_is_running_and_has_no_end(wing: Wing) -> None:
    machine = wing.launch()
    until(lambda: wing.machines().state(machine) is MachineState.RUNNING)
    assert wing.block().billed_until(machine) is None


def test_a_terminated_machine_leaves_nothing_but_what_the_job_keeps(wing: Wing) -> None:
    machine, other = wing.launch(), wing.launch(brief(attempt=2))
    for _ in range(2):
        wing.machines().terminate(machine)
        assert wing.machines().state(old(machine)) is MachineState.GONE
        assert [one.id for one in wing.block().find()] == [other.id]
    wing.block().terminate(other)
    assert wing.block().find() == []
    assert wing.left() == wing.kept


def test_a_machine_that_was_taken_back_leaves_nothing_either(wing: Wing) -> None:
    machine, other = wing.launch(), wing.launch(brief(attempt=2))
    wing.interrupt(machine, None)
    assert wing.machines().state(old(machine)) is wing.after_loss
    assert wing.machines().state(other) is MachineState.RUNNING
    assert [one.id for one in wing.block().find()] == [other.id]
    wing.machines().terminate(machine)
    wing.machines().terminate(other)
    assert wing.left() == wing.kept


def test_a_machine_that_switched_itself_off_is_found_and_removed(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.stop(machine)
    assert rented.machines().state(machine) is MachineState.STOPPING
    assert [one.id for one in rented.block().find()] == [machine.id]
    rented.machines().terminate(machine)
    assert rented.block().find() == []
    assert rented.left() == rented.kept


def test_a_machine_can_be_terminated_before_the_cloud_knows_it_everywhere(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.hide(machine, 3)
    rented.machines().terminate(machine)
    assert rented.left() == rented.kept


def test_terminating_what_never_was_does_nothing(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.machines().terminate(old(machine).model_copy(update={"id": machine.id[:-1] + "0x"}))
    assert rented.left() == rented.parts


def test_a_termination_whose_answer_is_lost_is_asked_for_again(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.spoil("end", rented.server_error, times=1)
    rented.machines().terminate(machine)
    assert rented.left() == rented.kept


def test_a_termination_that_is_refused_says_what_to_do(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.deny("end")
    with pytest.raises(Misconfigured, match=rented.remedy("end")):
        rented.machines().terminate(machine)
    assert rented.left() == rented.parts
