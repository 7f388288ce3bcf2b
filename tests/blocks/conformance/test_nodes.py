"""An attempt of several machines (nodes): all of them are launched, or none stays."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from spotwave.blocks.errors import Capacity, LaunchRefused, Quota, Throttled
from spotwave.blocks.models import LaunchBrief
from tests.blocks.conformance.wing import SECRETS, RentedWing, Wing, brief
from tests.blocks.machine_kit import CLOUD_HEAD, JOB_KEY, same, until
from tests.emulators.server import cut

NODES = 3
LEASES = ("lease-of-1", "lease-of-2")
REPORTS = CLOUD_HEAD + (
    'python3 cloud.py node brief.json\npython3 cloud.py secrets "$SPOTWAVE_WORK/kept"\ntouch up\nexec sleep 600\n'
)
API = "api.json"


def gang(attempt: int = 1) -> LaunchBrief:
    secrets = {**SECRETS, "node-1.api.json": '{"node": 1}', "node-2.api.json": '{"node": 2}'}
    return brief(attempt=attempt, secrets=secrets, nodes=NODES, lease_id="lease-of-0", node_leases=LEASES)


def test_all_machines_of_an_attempt_are_launched_in_one_zone(wing: Wing) -> None:
    machines = wing.launch_all(gang())
    assert [machine.node for machine in machines] == [0, 1, 2]
    assert [machine.name for machine in machines] == [f"{JOB_KEY}-1", f"{JOB_KEY}-1-n1", f"{JOB_KEY}-1-n2"]
    assert {(machine.job_key, machine.attempt, machine.zone) for machine in machines} == {(JOB_KEY, 1, wing.offer.zone)}
    assert len({machine.id for machine in machines}) == wing.made() == NODES
    assert all(machine.offer == wing.offer for machine in machines)


def test_every_node_is_found_again_by_its_tags(wing: Wing) -> None:
    machines = wing.launch_all(gang())
    other = wing.launch(brief(attempt=2))
    found = wing.block().find(JOB_KEY)
    assert [(one.attempt, one.node, one.id) for one in found] == [
        *((1, machine.node, machine.id) for machine in machines),
        (2, 0, other.id),
    ]


def test_the_same_launch_again_gives_the_same_machines(wing: Wing) -> None:
    what = gang()
    first = wing.launch_all(what)
    again = wing.launch_all(what)
    assert all(same(one, other) for one, other in zip(again, first, strict=True))
    assert wing.made() == NODES


def test_none_stays_where_there_is_room_for_some(wing: Wing) -> None:
    wing.capacity(NODES - 1)
    with pytest.raises(Capacity):
        wing.launch_all(gang())
    assert wing.block().find() == []
    assert [kind for kind in wing.left() if kind not in wing.kept] == []
    wing.capacity(NODES)
    assert len(wing.launch_all(gang(attempt=2))) == NODES


def test_a_place_that_was_full_is_asked_again_for_the_same_attempt(wing: Wing) -> None:
    wing.capacity(NODES - 1)
    with pytest.raises(Capacity):
        wing.launch_all(gang())
    wing.capacity(NODES)
    what = gang()
    later = LaunchBrief(what.brief, what.secrets, what.disk_gib, round=2)  # as every later round does
    assert [machine.node for machine in wing.launch_all(later)] == [0, 1, 2]
    assert Counter(wing.left()) - Counter(wing.kept) == Counter(
        {kind: NODES for kind in wing.parts if kind not in wing.kept}
    )


def test_no_quota_for_all_leaves_none(rented: RentedWing) -> None:
    rented.no_quota(rented.offer.region)
    with pytest.raises(Quota):
        rented.launch_all(gang())
    assert rented.block().find() == []
    assert rented.left() in ([], rented.kept)


def test_all_are_terminated_one_by_one(wing: Wing) -> None:
    machines = wing.launch_all(gang())
    wing.machines().terminate(machines[1])
    assert [one.node for one in wing.block().find()] == [0, 2]
    for machine in machines:
        wing.machines().terminate(machine)
    assert wing.block().find() == []
    assert [kind for kind in wing.left() if kind not in wing.kept] == []


def test_a_lost_answer_doubles_no_node(rented: RentedWing) -> None:
    rented.spoil(rented.launch_of_all, cut(), times=1)
    machines = rented.launch_all(gang())
    assert [machine.node for machine in machines] == [0, 1, 2]
    assert rented.made() == len(rented.block().find()) == NODES


@pytest.mark.parametrize("rented", ["azure"], indirect=True)
def test_machines_that_cannot_be_terminated_again_are_reported_and_found_by_the_same_launch(rented: RentedWing) -> None:
    """AWS and Google Cloud themselves create all or none."""
    rented.capacity(NODES - 1)
    rented.refuse("end", rented.server_error)
    with pytest.raises(Throttled, match="may still run"):
        rented.launch_all(gang())
    rented.emulator.heal()
    assert [one.node for one in rented.block().find()] != []
    with pytest.raises(LaunchRefused):
        rented.launch_all(gang())
    assert rented.block().find() == []


def test_another_count_than_the_briefs_is_an_error(wing: Wing) -> None:
    with pytest.raises(ValueError, match="count: 2 machines"):
        wing.machines().launch(wing.offer, gang(), 2)
    with pytest.raises(ValueError, match="node 1 of 3"):
        wing.machines().launch(wing.offer, gang().of_node(1), NODES)
    assert wing.left() == []


def test_every_node_learns_its_index_its_lease_and_its_own_secret(booting: RentedWing) -> None:
    machines = booting.machines(REPORTS).launch(booting.offer, gang(), NODES)
    for machine in machines:
        work = booting.computer(machine).work
        until((work / "up").exists)
        told = json.loads((work / "brief.json").read_text())
        assert (told["node"], told["nodes"]) == (machine.node, NODES)
        assert told["lease_id"] == ("lease-of-0", *LEASES)[machine.node]
        kept = {path.name: path.read_text() for path in (work / "kept").iterdir()}
        own = f'{{"node": {machine.node}}}' if machine.node else SECRETS[API]
        assert kept == {**SECRETS, API: own}, "of another node's secret it keeps nothing"
    for machine in machines:
        booting.machines().terminate(machine)
    until(lambda: booting.left() == booting.kept)
