"""Exhausted resources: processes of a local machine, the controller's disk, very many files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from spotwave.blocks import snapshots
from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.local.first_process import MORE_PROCESSES
from spotwave.blocks.local.machines import Machines
from spotwave.blocks.models import Machine, MachineState
from spotwave.blocks.rclone import rclone_binary
from spotwave.blocks.snapshots import SnapshotStore, StoreUnavailable
from spotwave.node.storage.remote import Remote, RemoteError
from spotwave.tasks.cost import billing_record
from tests.blocks.machine_kit import HEAD, brief, offer, processes, root_pid, until
from tests.faults.disks import fill, free, may_mount, mounted
from tests.processes import kill_each
from tests.security.hostile import clear
from tests.security.rows import Row
from tests.tasks.test_quote import a_job

# Each program limits itself, so that a failed test does no harm: at most 2,000 processes and 60 s.
FORKS = """
import os, time
children, until, made = set(), time.monotonic() + 60, 0
open(os.environ["SPOTWAVE_WORK"] + "/up", "w").close()
while time.monotonic() < until and made < 2000:
    while len(children) < 40:  # as many again for each that is killed
        made += 1
        pid = os.fork()
        if not pid:
            time.sleep(60)
            os._exit(0)
        children.add(pid)
    pid, _ = os.waitpid(-1, os.WNOHANG)
    children.discard(pid)
    time.sleep(0.0001)
"""
# One process at a time, replaced by its child again and again.
CHAIN = """
import os, time
until, count = time.monotonic() + 20, 0
open(os.environ["SPOTWAVE_WORK"] + "/up", "w").close()
while time.monotonic() < until and count < 50000:
    count += 1
    if os.fork():
        os._exit(0)
open(os.environ["SPOTWAVE_WORK"] + "/over", "w").close()
"""
HIDDEN = """
import os, sys
for _ in range(2):  # nobody's child
    if os.fork():
        os._exit(0)
    os.setsid()
os.chdir("/")
os.closerange(0, 256)
os.execve("/bin/sleep", ["sleep", "61.25"], {})
"""
ENDS = "touch $SPOTWAVE_WORK/up\n"


def _of(program: str, more: str = "sleep 60\n") -> str:
    return HEAD + f"\"$SPOTWAVE_PYTHON\" - <<'PY'\n{program}\nPY\n{more}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "machines"


def _started(folder: Path, template: str) -> tuple[Machines, Machine]:
    machines = Machines(folder, template)
    [machine] = machines.launch(offer(), brief())
    until((machines.place(machine) / "work/up").exists)
    return machines, machine


def _hidden() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "61.25"]]


_FORK_BOMB = Row(
    "local machine", "a program that forks again for each child that is killed", "all are ended within seconds"
)
_CHAIN = Row("local machine", "a process that forks and ends, again and again", "ended while it runs")
_HIDDEN = Row(
    "local machine",
    "a daemon without environment, parent process, open files and working folder",
    "found, and ended with the machine",
)
_BOUND = Row(
    "local machine", "more processes than a machine needs", "rejected by the system, for users other than root"
)
_DISK = "controller's disk"
_ACCOUNT = Row(
    _DISK, "full while the record of a job is written", "the previous one stays complete, one line names the file"
)
_LEDGER = Row(
    _DISK, "full while the ledger of spending is written", "the previous entry stays complete, no partial file is left"
)
_MACHINES = Row(
    _DISK, "full when a local machine must be terminated", "it is terminated, and its end time is recorded later"
)
_LAUNCH = Row(_DISK, "full when a local machine is launched", "rejected in one line, nothing runs")
_RESULTS = Row(
    _DISK, "full when results are downloaded", "one line reports it; they stay on the remote, and are downloaded later"
)
_NOTES = Row("ledger of spending", "more entries than are possible", "rejected in one line, none is read")
_FOLDERS = Row("local cloud", "500 folders of terminated machines", "scanned within a second")
_FAR = Row("remote", "5,000 files in a job's folder", "listed in seconds")
ROWS = [_FORK_BOMB, _CHAIN, _HIDDEN, _BOUND, _ACCOUNT, _LEDGER, _MACHINES, _LAUNCH, _RESULTS, _NOTES, _FOLDERS, _FAR]


def test_fork_bomb_is_ended(folder: Path) -> None:
    machines, machine = _started(folder, _of(FORKS))
    until(lambda: len(processes(machines, machine)) > 40)
    started = time.monotonic()
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert time.monotonic() - started < 15, "a second or two"


def test_process_that_keeps_forking_is_ended(folder: Path) -> None:
    machines, machine = _started(folder, _of(CHAIN))
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert not (machines.place(machine) / "work/over").exists(), "it ended on its own"


def test_hidden_daemon_is_found(folder: Path) -> None:
    machines, machine = _started(folder, _of(HIDDEN, ENDS))
    try:
        until(_hidden)
        until(
            lambda: not psutil.pid_exists(root_pid(machines, machine)) or machines.state(machine) is MachineState.GONE
        )
        assert machines.find() == [machine], "a process of it still runs"
        assert machines.billed_until(machine) is None
        machines.terminate(machine)
        assert _hidden() == []
        assert machines.find() == []
    finally:
        kill_each(_hidden())


def test_machine_has_process_limit(folder: Path) -> None:
    machines, machine = _started(folder, HEAD + "touch $SPOTWAVE_WORK/up\nsleep 60\n")
    soft, hard = psutil.Process(root_pid(machines, machine)).rlimit(psutil.RLIMIT_NPROC)
    assert soft == hard
    assert MORE_PROCESSES < hard < MORE_PROCESSES + 50_000, "in addition to the user's present processes"
    machines.terminate(machine)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a private disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, 2):
        yield folder


needs_mounts = pytest.mark.skipif(not may_mount(), reason="only root may mount")


@needs_mounts
def test_job_record_stays_complete_on_full_disk(disk: Path) -> None:
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: disk / "storage"}):
        kept = billing_record.BillingRecord(job=a_job(key="sw-0123456789ab"), before_usd=1.0)
        billing_record.keep(kept)
        fill(disk)
        changed = kept.model_copy(update={"reserved": {number: 1.0 for number in range(100_000)}})
        with pytest.raises(OSError, match="No space left on device") as caught:
            billing_record.keep(changed)
        assert "sw-0123456789ab.json" in str(caught.value), "the message names the disk"
        assert billing_record.read("sw-0123456789ab") == kept
        assert [path.name for path in disk.rglob(".*.part")] == []
        free(disk)
        billing_record.keep(changed)
        assert billing_record.read("sw-0123456789ab") == changed


@needs_mounts
def test_ledger_entry_stays_complete_on_full_disk(disk: Path) -> None:
    store = SnapshotStore(url=str(disk / "store"))
    store.note("spending", "it", {"usd": 1.0})
    fill(disk)
    with pytest.raises(StoreUnavailable, match="No space left on device") as caught:
        store.note("spending", "it", {"usd": 2.0, "more": "x" * 1_000_000})
    assert str(disk) in str(caught.value)
    assert store.notes("spending") == [{"usd": 1.0}]
    assert list(disk.rglob("*.part")) == [], "no partial file is left"


@needs_mounts
def test_machine_ends_on_full_disk(disk: Path) -> None:
    machines, machine = _started(disk / "machines", HEAD + "touch $SPOTWAVE_WORK/up\nsleep 60\n")
    place = machines.place(machine)
    fill(disk)
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert machines.find() == []
    assert not (place / "secrets").exists()
    free(disk)
    assert machines.state(machine) is MachineState.GONE
    assert machines.billed_until(machine) is not None


@needs_mounts
def test_launch_on_full_disk_is_rejected(disk: Path) -> None:
    fill(disk)
    machines = Machines(disk / "machines", HEAD + "touch $SPOTWAVE_WORK/up\nsleep 60\n")
    with pytest.raises(Misconfigured, match="No space left on device") as caught:
        machines.launch(offer(), brief())
    assert clear(caught.value, "local")
    assert machines.find() == []
    free(disk)
    [machine] = machines.launch(offer(), brief())
    machines.terminate(machine)


@needs_mounts
def test_results_stay_on_remote_if_disk_is_full(disk: Path, tmp_path: Path) -> None:
    far = tmp_path / "remote/output"
    far.mkdir(parents=True)
    (far / "orbitals.npz").write_bytes(bytes(3 << 20))
    remote = Remote(rclone_binary(), None, str(tmp_path / "remote"))
    with pytest.raises(RemoteError, match=r"the download has 3145728 bytes, but only \d+ bytes are free") as caught:
        remote.download("output", disk / "home")
    assert clear(caught.value, "output on the remote")
    assert (far / "orbitals.npz").stat().st_size == 3 << 20
    assert not (disk / "home/orbitals.npz").exists(), "a partial file does not have the final name"
    remote.download("output", tmp_path / "home")
    remote.verify(tmp_path / "home", "output")


def test_ledger_with_too_many_entries_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MOST_NOTES", 500)  # to save time
    store = SnapshotStore(url=str(tmp_path))
    store.note("spending", "mine", {"usd": 1.0})
    for number in range(snapshots.MOST_NOTES):
        (tmp_path / "spending" / f"{number}.json").touch()  # empty: reading one would fail
    with pytest.raises(StoreUnavailable, match=f"holds {snapshots.MOST_NOTES + 1} documents") as caught:
        store.notes("spending")
    assert clear(caught.value, "url")


def test_terminated_machines_are_skipped_quickly(folder: Path) -> None:
    """A file marks them as terminated; the other files, which are invalid JSON here, must not be read."""
    for number in range(500):
        place = folder / f"sw-{number:012x}-1-local-1"
        place.mkdir(parents=True)
        for name in ("root.json", "machine.json", "ended.json"):
            (place / name).write_text("not looked at")
    started = time.process_time()
    assert Machines(folder).find() == []
    assert time.process_time() - started < 5, "usually 0.1 s, plus the listing of this computer's processes"


def test_folder_with_many_files_is_listed(tmp_path: Path) -> None:
    for number in range(5_000):
        (tmp_path / f"{number}").touch()
    started = time.process_time()
    assert len(Remote(rclone_binary(), None, str(tmp_path)).list(recursive=True)) == 5_000
    assert time.process_time() - started < 10
