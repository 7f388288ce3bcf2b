"""States of a machine, and its end by Spotwave, by the cloud, or by itself."""

from __future__ import annotations

import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.models import MachineState
from tests.blocks.conformance import aws_wing, azure_wing, gcp_wing
from tests.blocks.conformance.conftest import RENTED
from tests.blocks.conformance.wing import RentedWing, Wing, brief
from tests.blocks.machine_kit import old, until

STATES = [
    pytest.param(wing.kind, native, state, id=f"{wing.kind} {' '.join(native)}")
    for wing in (aws_wing.AwsWing, gcp_wing.GcpWing, azure_wing.AzureWing)
    for native, state in wing.states
]
assert {one.values[0] for one in STATES} == set(RENTED)


@pytest.mark.parametrize(("rented", "native", "state"), STATES, indirect=["rented"])
def test_state_in_the_cloud_is_mapped(rented: RentedWing, native: tuple[str, str], state: MachineState) -> None:
    machine = rented.launch()
    rented.put_into(machine, native)
    assert rented.machines().state(machine) is state


def test_running_machine_is_running_and_has_no_end(wing: Wing) -> None:
    machine = wing.launch()
    until(lambda: wing.machines().state(machine) is MachineState.RUNNING)
    assert wing.block().billed_until(machine) is None


def test_terminated_machine_leaves_only_what_the_job_keeps(wing: Wing) -> None:
    machine, other = wing.launch(), wing.launch(brief(attempt=2))
    for _ in range(2):
        wing.machines().terminate(machine)
        assert wing.machines().state(old(machine)) is MachineState.GONE
        assert [one.id for one in wing.block().find()] == [other.id]
    wing.block().terminate(other)
    assert wing.block().find() == []
    assert wing.left() == wing.kept


def test_interrupted_machine_leaves_nothing_either(wing: Wing) -> None:
    machine, other = wing.launch(), wing.launch(brief(attempt=2))
    wing.interrupt(machine, None)
    assert wing.machines().state(old(machine)) is wing.after_loss
    assert wing.machines().state(other) is MachineState.RUNNING
    assert [one.id for one in wing.block().find()] == [other.id]
    wing.machines().terminate(machine)
    wing.machines().terminate(other)
    assert wing.left() == wing.kept


def test_machine_that_shut_down_is_found_and_deleted(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.stop(machine)
    assert rented.machines().state(machine) is MachineState.STOPPING
    assert [one.id for one in rented.block().find()] == [machine.id]
    rented.machines().terminate(machine)
    assert rented.block().find() == []
    assert rented.left() == rented.kept


def test_machine_can_be_terminated_before_it_is_visible_everywhere(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.hide(machine, 3)
    rented.machines().terminate(machine)
    assert rented.left() == rented.kept


def test_terminating_an_unknown_machine_does_nothing(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.machines().terminate(old(machine).model_copy(update={"id": machine.id[:-1] + "0x"}))
    assert rented.left() == rented.parts


def test_termination_with_a_lost_answer_is_retried(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.spoil("end", rented.server_error, times=1)
    rented.machines().terminate(machine)
    assert rented.left() == rented.kept


def test_denied_termination_has_a_remedy(rented: RentedWing) -> None:
    machine = rented.launch()
    rented.deny("end")
    with pytest.raises(Misconfigured, match=rented.remedy("end")):
        rented.machines().terminate(machine)
    assert rented.left() == rented.parts
