"""Capacity of this computer is never given out twice, also to concurrent launches."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotwave.blocks.errors import Capacity
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.local.capacity import LocalCapacity
from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.memory import host_memory_gib
from spotwave.blocks.local.prices import host_vcpus, local_market
from spotwave.blocks.market import offers_of
from spotwave.blocks.models import Machine
from tests.blocks.machine_kit import IDLE, brief, offer, race

TWO = LocalCapacity(2, 4.0)


def launched(machines: Machines, *sizes: int) -> list[Machine]:
    """Launch one machine of each size, for different jobs."""
    return [machines.launch(offer(f"local-{n}", n), brief(f"sw-{at:012x}"))[0] for at, n in enumerate(sizes)]


def test_capacity_of_a_machine_is_not_given_out_again(folder: Path) -> None:
    """The larger machine is refused first, then any. A machine that ends frees its capacity; refusals leave nothing."""
    machines = Machines(folder, IDLE, TWO)
    first, *_ = launched(machines, 1)
    with pytest.raises(Capacity, match=rf"local-2 needs 2 vCPUs and .* 1 and 3\.00 are free beside {first.id}"):
        machines.launch(offer("local-2", 2), brief("sw-ffffffffffff"))
    [second] = machines.launch(offer(), brief("sw-ffffffffffff"))
    with pytest.raises(Capacity, match=r"0 and 2\.00 are free"):
        machines.launch(offer(), brief("sw-eeeeeeeeeeee"))
    assert machines.launch(offer(), brief("sw-ffffffffffff"))[0] == second, "it already has its capacity"
    assert sorted(path.name for path in folder.iterdir()) == sorted([first.id, second.id])
    machines.terminate(first)
    assert machines.launch(offer(), brief("sw-eeeeeeeeeeee"))[0].job_key == "sw-eeeeeeeeeeee"


def test_memory_is_not_given_out_twice() -> None:
    a, b = offer(), offer().model_copy(update={"memory_gib": 3.5})
    held = [Machine.model_construct(id="sw-1-1-local-1", offer=a)]
    assert TWO.lacks(a, held) is None
    assert "1 and 3.00 are free" in (TWO.lacks(b, held) or "")


@pytest.mark.parametrize("claim", [float("nan"), float("inf"), -5.0])
def test_capacity_in_a_machines_tags_is_clamped(claim: float) -> None:
    liar = offer().model_copy(update={"memory_gib": claim, "vcpus": -7})
    vcpus, memory_gib = TWO.free([Machine.model_construct(id="x", offer=liar)])
    assert (vcpus, 0 <= memory_gib <= 4) == (2, True)


def test_one_of_two_concurrent_launches_is_refused(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from spotwave.blocks.errors import Capacity\n"
        "from spotwave.blocks.local.machines import Machines\n"
        "from spotwave.blocks.local.capacity import LocalCapacity\n"
        "from tests.blocks.machine_kit import IDLE, brief, offer, race\n"
        "machines = Machines(Path(sys.argv[1]), IDLE, LocalCapacity(2, 4.0))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: print(machines.launch(offer('local-2', 2), brief(sys.argv[2]))[0].id)\n"
        "except Capacity: print('refused')"
    )
    outputs = race(code, [[str(folder), f"sw-{number:012x}"] for number in range(2)], "go\n")
    assert [machine.id for machine in Machines(folder).find()] == [one for one in outputs if one != "refused"]
    assert "refused" in outputs


def test_memory_of_all_offers_does_not_exceed_the_computers() -> None:
    for memory_gib in (7.77, 23.457, 0.29):
        smallest = offers_of(local_market({}, 30.0, 3, memory_gib).frame)[0]
        assert 3 * smallest.memory_gib <= memory_gib


def test_capacity_is_the_computers_unless_the_block_pretends_more(folder: Path) -> None:
    honest = LocalCloud(folder=str(folder))
    assert honest.room == LocalCapacity(host_vcpus(), pytest.approx(host_memory_gib()))  # type: ignore[arg-type]
    sizes = [one.vcpus for one in offers_of(honest.market().frame)]
    much = honest.model_copy(update={"pretend_vcpus": 10 * host_vcpus()})
    assert much.room.memory_gib == pytest.approx(10 * host_memory_gib())
    assert [one.vcpus for one in offers_of(much.market().frame)] == sizes, "no offer is larger than this computer"
    assert honest.machines(IDLE).launch(offers_of(honest.market().frame)[-1], brief())[0]
    (found, _) = honest.check()
    assert f"0 of {host_vcpus()} vCPUs" in found.said
    with pytest.raises(Capacity):
        launched(honest.machines(IDLE), 1)
    assert launched(much.machines(IDLE), *(1 for _ in range(3)))
    (found, _) = much.check()
    assert "(pretended)" in found.said
