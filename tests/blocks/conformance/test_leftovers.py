"""Resources other than machines are found by their tags and deleted."""

from __future__ import annotations

import pytest

from spotwave.blocks.errors import Misconfigured
from tests.blocks.conformance.wing import OTHER_JOB, RentedWing, brief
from tests.blocks.machine_kit import JOB_KEY


def test_leftovers_are_found_in_every_region_and_removed(rented: RentedWing) -> None:
    rented.small_pages()
    machine = rented.launch()
    living = rented.launch(brief(OTHER_JOB), rented.elsewhere)
    assert [one.kind for one in rented.block().leftovers(JOB_KEY)] == ["secret"], "a running machine's parts are in use"
    rented.orphan(machine)
    found = rented.block().leftovers(JOB_KEY)
    assert sorted(one.kind for one in found) == sorted([*rented.orphans, "secret"])
    assert {one.job_key for one in found} == {JOB_KEY}
    assert {one.job_key for one in rented.block().leftovers()} == {JOB_KEY, OTHER_JOB}
    for one in [*found, *found]:
        rented.block().remove(one)
    assert rented.block().leftovers(JOB_KEY) == []
    assert rented.left() == rented.parts
    assert [one.id for one in rented.block().find()] == [living.id]


def test_nothing_is_left_after_the_last_attempt(rented: RentedWing) -> None:
    rented.machines().terminate(rented.launch())
    for one in rented.block().leftovers():
        rented.block().remove(one)
    assert rented.left() == []
    assert rented.emulator.secrets == {}


def test_denied_deletion_of_a_leftover_has_a_remedy(rented: RentedWing) -> None:
    rented.machines().terminate(rented.launch())
    (secret,) = rented.block().leftovers()
    rented.deny("remove")
    with pytest.raises(Misconfigured, match=rented.remedy("remove")):
        rented.block().remove(secret)
    assert rented.left() == rented.kept
