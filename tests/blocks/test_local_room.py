"""What this computer has is given out once, whoever launches at the same moment."""

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
    """One machine of each size, of jobs of their own."""
    return [machines.launch(offer(f"local-{n}", n), brief(f"sw-{at:012x}"))[0] for at, n in enumerate(sizes)]


def test_what_a_machine_holds_is_not_given_out_again(folder: Path) -> None:
    """The largest machine is refused first, then all; what ends gives its place back. And a refusal leaves nothing."""
    machines = Machines(folder, IDLE, TWO)
    first, *_ = launched(machines, 1)
    with pytest.raises(Capacity, match=rf"local-2 takes 2 vCPUs and .* 1 and 3\.00 are free beside {first.id}"):
        machines.launch(offer("local-2", 2), brief("sw-ffffffffffff"))
    [second] = machines.launch(offer(), brief("sw-ffffffffffff"))
    with pytest.raises(Capacity, match=r"0 and 2\.00 are free"):
        machines.launch(offer(), brief("sw-eeeeeeeeeeee"))
    assert machines.launch(offer(), brief("sw-ffffffffffff"))[0] == second, "it has its place"
    assert sorted(path.name for path in folder.iterdir()) == sorted([first.id, second.id])
    machines.terminate(first)
    assert machines.launch(offer(), brief("sw-eeeeeeeeeeee"))[0].job_key == "sw-eeeeeeeeeeee"


def test_memory_is_given_out_once_too() -> None:
    a, b = offer(), offer().model_copy(update={"memory_gib": 3.5})
    held = [Machine.model_construct(id="sw-1-1-local-1", offer=a)]
    assert TWO.lacks(a, held) is None
    assert "1 and 3.00 are free" in (TWO.lacks(b, held) or "")


@pytest.mark.parametrize("claim", [float("nan"), float("inf"), -5.0])
def test_what_a_machine_says_that_it_holds_is_bounded(claim: float) -> None:
    liar = offer().model_copy(update={"memory_gib": claim, "vcpus": -7})
    vcpus, memory_gib = TWO.free([Machine.model_construct(id="x", offer=liar)])
    assert (vcpus, 0 <= memory_gib <= 4) == (2, True)


def test_of_two_launchers_in_the_same_moment_one_wins(folder: Path) -> None:
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
    told = race(code, [[str(folder), f"sw-{number:012x}"] for number in range(2)], "go\n")
    assert [machine.id for machine in Machines(folder).find()] == [one for one in told if one != "refused"]
    assert "refused" in told


def test_all_sizes_are_offered_however_busy_it_is_and_in_sum_there_is_no_more() -> None:
    for memory_gib in (7.77, 23.457, 0.29):
        smallest = offers_of(local_market({}, 30.0, 3, memory_gib).frame)[0]
        assert 3 * smallest.memory_gib <= memory_gib


def test_a_computer_is_what_it_is_unless_the_block_says_otherwise(folder: Path) -> None:
    honest = LocalCloud(folder=str(folder))
    assert honest.room == LocalCapacity(host_vcpus(), pytest.approx(host_memory_gib()))  # type: ignore[arg-type]
    sizes = [one.vcpus for one in offers_of(honest.market().frame)]
    much = honest.model_copy(update={"pretend_vcpus": 10 * host_vcpus()})
    assert much.room.memory_gib == pytest.approx(10 * host_memory_gib())
    assert [one.vcpus for one in offers_of(much.market().frame)] == sizes, "none is larger than this computer"
    assert honest.machines(IDLE).launch(offers_of(honest.market().frame)[-1], brief())[0]
    (found, _) = honest.check()
    assert f"0 of {host_vcpus()} vCPUs" in found.said
    with pytest.raises(Capacity):
        launched(honest.machines(IDLE), 1)
    assert launched(much.machines(IDLE), *(1 for _ in range(3)))
    (found, _) = much.check()
    assert "(pretended)" in found.said
