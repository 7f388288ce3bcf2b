"""Block of the local cloud: offers, available memory, folders."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.home import home
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.memory import host_memory_gib
from spotwave.blocks.local.prices import sizes
from spotwave.blocks.market import offers_of
from spotwave.blocks.models import MachineState
from tests.blocks.machine_kit import HEAD, IDLE, brief, offer, until


def test_impossible_launch_is_misconfigured(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(Misconfigured, match="local"):
        Machines(folder, IDLE).launch(offer(), brief())
    folder.unlink()
    with pytest.raises(Misconfigured, match="template"):
        Machines(folder, "echo nothing").launch(offer(), brief())


def test_block_launches_finds_and_terminates_its_machines(folder: Path) -> None:
    cloud = LocalCloud(folder=str(folder), notice_s=7, prices={"local-1": 0.5}, max_vcpus=1, max_memory_gib=0.5)
    (only,) = offers_of(cloud.market().frame)
    assert (only.instance_type, only.vcpus, only.memory_gib, only.notice_s) == ("local-1", 1, 0.5, 7)
    assert only.spot_usd_h == only.on_demand_usd_h == 0.5
    [machine] = cloud.machines(IDLE).launch(only, brief())
    assert cloud.find() == [machine]
    assert cloud.state(machine) is MachineState.RUNNING
    cloud.interrupt(machine, None)
    assert cloud.state(machine) is MachineState.INTERRUPTED
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.GONE


def test_processes_are_limited_to_the_machines_memory(folder: Path) -> None:
    eats = 'python3 -c "bytes(3 << 29)" || echo "exit status $?"'
    machines = Machines(folder, HEAD + f'{eats}\ntouch "$SPOTWAVE_WORK/up"\nsleep 600\n')
    for gib, expected in ((1.0, "MemoryError"), (2.0, "")):
        [machine] = machines.launch(offer(f"local-{gib:g}", memory_gib=gib), brief())
        until((machines.place(machine) / "work/up").exists)
        console = (machines.place(machine) / "console.log").read_text()
        assert expected in console
        assert ("exit status 1" in console) == bool(expected)
        machines.terminate(machine)


def test_memory_is_limited_by_the_container(tmp_path: Path) -> None:
    """The tightest limit counts, in both versions of control groups; `max` and huge numbers mean no limit."""
    here = host_memory_gib()
    groups, mount = tmp_path / "cgroup", tmp_path / "mount"
    (mount / "memory/outer/inner").mkdir(parents=True)
    (mount / "outer").mkdir()
    groups.write_text("4:cpu,memory:/outer/inner\n0::/outer\n")
    assert host_memory_gib(groups, mount) == here, "no limit file exists"
    (mount / "memory/outer/inner/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (mount / "outer/memory.max").write_text("max\n")
    assert host_memory_gib(groups, mount) == here
    (mount / "memory/outer/memory.limit_in_bytes").write_text(str(1 << 29))
    assert host_memory_gib(groups, mount) == 0.5
    (mount / "outer/memory.max").write_text(f"{1 << 28}\n")
    assert host_memory_gib(groups, mount) == 0.25


def test_sizes_go_up_to_the_host() -> None:
    assert [sizes(n) for n in (1, 2, 3, 4, 6)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 2, 4, 6]]
    offers = offers_of(LocalCloud().market().frame)
    assert {o.spot_usd_h for o in offers} == {0.0}
    assert offers[-1].memory_gib <= psutil.virtual_memory().total / 2**30 + 0.01
    with pytest.raises(ValueError, match="prices"):
        LocalCloud(prices={"local-1": -1})


def test_folders_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPOTWAVE_HOME", raising=False)
    assert LocalCloud().machines().folder == home() / "machines"
    assert LocalCloud(folder="m").machines().folder == tmp_path.resolve() / "m"
    monkeypatch.setenv("SPOTWAVE_HOME", str(tmp_path / "home"))
    assert LocalCloud().machines().folder == tmp_path.resolve() / "home/machines"


def test_missing_programs_are_reported() -> None:
    assert LocalCloud().lacks_program("bash") is None
    assert "no-such-solver" in (LocalCloud().lacks_program("no-such-solver") or "")
