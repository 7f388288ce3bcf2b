"""The faults: what happens, at which steps, and what the testbed must provide."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from prefect.client.schemas.objects import StateType

from spotwave.node.contract import CHECKPOINT_DIR, MANIFEST_FILE
from tests.faults import by_hand, disks, worlds
from tests.faults.live import Live
from tests.faults.testbed import Testbed
from tests.flows.kit import eventually

CLOUDS = ("local", "aws", "gcp", "azure")
RENTED = ("aws", "gcp", "azure")

CONTROLLER = ("launch", "launched", "boot", "run_shci", "teardown", "collect")
MACHINE = ("boot", "hartree_fock", "choose_reference", "write_fcidump", "run_shci", "saving")
FULL = ("hartree_fock", "run_shci", "saving", "collect")
WORK = ("hartree_fock", "choose_reference", "write_fcidump", "run_shci")

AWAY_S = 12.0  #: how long a connection is cut, a service down, a disk full
NOTICE_S = 15.0
BAD_ALLOC = "terminate called after throwing an instance of 'std::bad_alloc'"


def nothing(live: Live) -> None:
    """Do nothing: for faults that exist from the start, and for those that need no healing."""


def unchanged(testbed: Testbed) -> None:
    """Prepare nothing: the testbed is as usual when the job starts."""


@dataclass(frozen=True)
class Fault:
    """`strike` is called while the process waits at the step; `heal` AWAY_S after it continues."""

    name: str
    steps: tuple[str, ...]
    strike: Callable[[Live], None]
    heal: Callable[[Live], None] = nothing
    clouds: tuple[str, ...] = CLOUDS
    served: bool = False  #: the remote is a network server
    small: bool = False  #: remote and disks are small
    with_machine: bool = False  #: it is healed when the first machine ends, if earlier: the next one has its own disk
    mounts: bool = False  #: requires root
    clock: int = 0  #: offset of the machine's clock, seconds ahead
    shared: bool = False  #: affects all jobs of a controller at once
    machines: int = 1  #: minimum number of machines if the fault took effect
    dies: str = ""  #: how the paused process ends (tests.faults.breakpoints)
    too_small: bool = False  #: it runs out of memory, and the job continues with more
    ends: StateType | None = StateType.COMPLETED  #: final state of the job; None: its run is deleted
    prepare: Callable[[Testbed], None] = unchanged  #: called before the job starts
    by_hand: bool = False  #: a user ends the run, and no other machine may be rented
    ends_here: str = ""  #: beginning of an accepted error on this computer, which has only one disk
    down_s: float = 2.0  #: downtime of a shared service, until `up` restarts it


def _kills(module: str) -> Callable[[Live], None]:
    return lambda live: live.kill(module)


def _vanish(live: Live) -> None:
    machine = live.machine
    live.testbed.interrupt(machine, None)
    eventually("the machine is gone", lambda: not live.testbed.processes(machine), 60)


def _notice(live: Live) -> None:
    live.testbed.interrupt(live.machine, NOTICE_S)


def _freeze(live: Live) -> None:
    """Stop all processes, as when a hypervisor pauses a machine."""
    for process in live.testbed.processes(live.machine):
        with suppress(psutil.Error):
            process.suspend()


def _thaw(live: Live) -> None:
    for id_ in live.testbed.machine_ids(live.key):
        for process in live.testbed.processes(id_):
            with suppress(psutil.Error):
                process.resume()


def _corrupt(live: Live) -> None:
    """Overwrite a file of the newest checkpoint, and terminate the machine: the next one must skip that checkpoint."""
    live.two_generations()
    _vanish(live)
    newest = live.remote / CHECKPOINT_DIR / live.latest()
    path = next(one for one in sorted(newest.rglob("*")) if one.is_file() and one.name != MANIFEST_FILE)
    path.write_bytes(b"\0" * 100)


def _cut_api(live: Live) -> None:
    live.testbed.cut_api(live.machine)


def _cut_remote(live: Live) -> None:
    live.testbed.cut_remote(live.machine)


def _cloud_away(live: Live) -> None:
    live.testbed.away(True)


def _mend(live: Live) -> None:
    live.testbed.mend()


def _fill_remote(live: Live) -> None:
    disks.fill(live.testbed.folder / "remote")


def _free_remote(live: Live) -> None:
    disks.free(live.testbed.folder / "remote")


def _fill_disk(live: Live) -> None:
    disks.fill(live.testbed.folder / "machines")


def _free_disk(live: Live) -> None:
    """Free the disk, which all machines of a testbed share."""
    disks.free(live.testbed.folder / "machines")


def _read_only(live: Live) -> None:
    """Make the machine's folder read-only, in the mount namespace of one of its processes."""
    process = next(iter(live.testbed.processes(live.machine)))
    disks.make_read_only(live.testbed.work(live.machine), process.pid)


def _writable(live: Live) -> None:
    for id_ in live.testbed.machine_ids(live.key):
        with suppress(psutil.Error):
            disks.forget_read_only(Path(os.path.realpath(live.testbed.work(id_))))


_BY_HAND = ("launch", "launched", "boot", "run_shci", "teardown")
_FAULTS = (
    Fault("undisturbed", ("run_shci",), nothing),
    Fault("kill the controller", CONTROLLER, nothing, shared=True),
    Fault("kill the Prefect server", CONTROLLER, nothing, shared=True),
    Fault("Prefect server away for minutes", ("run_shci",), nothing, shared=True, down_s=150.0),
    Fault("kill the agent", MACHINE, _kills("spotwave.node.agent")),
    Fault(
        "kill the machine's worker",
        ("hartree_fock", "write_fcidump", "run_shci", "saving"),
        _kills("spotwave.node.agent.attempt_worker"),
    ),
    Fault("kill the node run", WORK, _kills("prefect.engine")),
    Fault("kill the solver", ("run_shci",), _kills("spotwave.node.jobs.shci.programs.pyci_program")),
    Fault("kill the machine", MACHINE, _vanish, machines=2),
    Fault("notice", MACHINE, _notice),
    Fault("freeze the machine", ("run_shci",), _freeze, machines=2),
    Fault("freeze the machine for a moment", ("hartree_fock",), _freeze, _thaw),
    Fault("cut machine from API", ("boot", "hartree_fock", "run_shci", "saving"), _cut_api, _mend),
    Fault(
        "cut machine from API for good", ("run_shci",), _cut_api, clouds=RENTED
    ),  # needs a separate connection per machine
    Fault("cut machine from remote", ("boot", "hartree_fock", "run_shci", "saving"), _cut_remote, _mend, served=True),
    Fault("cut controller from cloud", ("launch", "boot", "run_shci", "teardown"), _cloud_away, _mend, clouds=RENTED),
    Fault(
        "full remote",
        ("hartree_fock", "run_shci", "saving", "collect"),
        _fill_remote,
        _free_remote,
        small=True,
        mounts=True,
    ),
    Fault(
        "full disk",
        ("hartree_fock", "write_fcidump", "run_shci"),
        _fill_disk,
        _free_disk,
        small=True,
        mounts=True,
        with_machine=True,
        ends_here="disk: ",
    ),
    Fault("read-only disk", ("hartree_fock", "run_shci"), _read_only, _writable, mounts=True),
    Fault("corrupt newest checkpoint", ("run_shci",), _corrupt, machines=2),
    Fault("clock 10 min ahead", ("boot",), nothing, clock=600),
    Fault("clock 10 min behind", ("boot",), nothing, clock=-600),
    Fault("notice, clock 10 min ahead", ("run_shci",), _notice, clock=600),
    Fault("notice, clock 10 min behind", ("run_shci",), _notice, clock=-600),
    Fault("run set to Cancelled", _BY_HAND, by_hand.cancel, by_hand=True, ends=StateType.CANCELLED, machines=0),
    Fault("run set to Failed", ("launched", "run_shci"), by_hand.fail, by_hand=True, ends=StateType.FAILED, machines=0),
    Fault(
        "run set to Completed",
        ("launched", "run_shci"),
        by_hand.complete,
        by_hand=True,
        ends=StateType.COMPLETED,
        machines=0,
    ),
    Fault("run deleted", ("launched", "boot", "run_shci"), by_hand.delete, by_hand=True, ends=None, machines=0),
    Fault("suspended and resumed", ("launch", "boot", "run_shci"), by_hand.suspend, by_hand.resume),
    Fault(
        "exception in the node run",
        ("hartree_fock", "write_fcidump"),
        nothing,
        dies="raise:numpy.linalg:LinAlgError:Singular matrix",
        ends=StateType.FAILED,
    ),
    Fault(
        "out of memory, node run",
        ("hartree_fock",),
        nothing,
        dies="raise:builtins:MemoryError:",
        machines=2,
        too_small=True,
    ),
    Fault(
        "out of memory, solver", ("run_shci",), nothing, dies="raise:builtins:MemoryError:", machines=2, too_small=True
    ),
    Fault("bad_alloc in the solver", ("run_shci",), nothing, dies=f"abort:{BAD_ALLOC}", machines=2, too_small=True),
    Fault("small quota of the region", ("boot",), nothing, clouds=RENTED, prepare=worlds.small_regional_quota),
    Fault("small quota of the project", ("boot",), nothing, clouds=("gcp",), prepare=worlds.small_project_quota),
    Fault("no quota of the family", ("boot",), nothing, clouds=("gcp",), prepare=worlds.no_family_quota),
    Fault("region closed by policy", ("boot",), nothing, clouds=RENTED, prepare=worlds.closed_region),
    Fault("no room anywhere for a while", ("launch",), worlds.fill, worlds.make_room, clouds=RENTED),
)
FAULTS = {fault.name: fault for fault in _FAULTS}


@dataclass(frozen=True)
class Case:
    """One fault at one step on one cloud."""

    cloud: str
    step: str
    fault: str

    @property
    def name(self) -> str:
        return f"{self.cloud}: {self.fault} at {self.step}"


def all_cases() -> list[Case]:
    """Return every valid pair of step and fault, on every cloud where it is possible."""
    return [Case(cloud, step, fault.name) for fault in _FAULTS for step in fault.steps for cloud in fault.clouds]
