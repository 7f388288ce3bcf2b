"""Local machines, in what only they have: processes, folders, signals, environment."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.processes import is_alive
from spotwave.blocks.models import Machine, MachineState
from spotwave.node.contract import ENV_MACHINE, Brief
from tests.blocks.machine_kit import (
    HEAD,
    IDLE,
    WITH_DAEMON,
    brief,
    offer,
    processes,
    race,
    root_pid,
    running,
    until,
    up,
)

ROOT = Path(__file__).parents[2]


def test_terminated_machine_keeps_its_console_and_its_work(folder: Path) -> None:
    machines, machine = running(folder, IDLE)
    place = machines.place(machine)
    assert Brief.from_json((place / "work/brief.json").read_text()).job_key == machine.job_key
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert not (place / "secrets").exists()
    assert (place / "console.log").exists()
    assert (place / "work/brief.json").exists()


def test_only_the_owner_can_read_secrets(folder: Path) -> None:
    machines = Machines(folder, IDLE)
    [machine] = machines.launch(offer(), brief())
    place = machines.place(machine)
    assert stat.S_IMODE((place / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "secrets/api.json").stat().st_mode) == 0o600
    up(place)
    readable = (place / "bootstrap.sh").read_text() + (place / "machine.json").read_text()
    for process in processes(machines, machine):
        readable += " ".join(process.cmdline()) + str(process.environ())
    assert "PREFECT_API_URL" not in readable


def test_environment_has_no_settings_of_the_controller(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "the controller's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the controller's")
    machines = Machines(folder, IDLE)
    [machine] = machines.launch(offer("local-2", vcpus=2), brief())
    up(machines.place(machine))
    environment = processes(machines, machine)[0].environ()
    assert not [key for key in environment if key.startswith(("PREFECT_", "AWS_"))]
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["SPOTWAVE_WORK"] == str(machines.place(machine) / "work")
    assert environment["HOME"] == str(machines.place(machine) / "home")
    assert Path(environment["SPOTWAVE_RCLONE"]).exists()
    assert Path(environment["SPOTWAVE_PYTHON"]).exists()


def test_proxies_and_certificates_are_inherited_and_the_temporary_folder_is_separate(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary folder that all users share must not be used: Prefect's runner creates a fixed name there."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", "/etc/ssl/own.pem")
    machines = Machines(folder, IDLE)
    [machine] = machines.launch(offer("local-2", vcpus=2), brief())
    up(machines.place(machine))
    environment = processes(machines, machine)[0].environ()
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "127.0.0.1" in environment["NO_PROXY"].split(",")
    assert environment["PREFECT_API_SSL_CERT_FILE"] == "/etc/ssl/own.pem"
    own = Path(environment["TMPDIR"])
    assert own.is_relative_to(machines.place(machine))
    assert own.is_dir()
    machines.terminate(machine)
    assert not own.exists()


def test_machine_gets_signals_that_its_controller_ignores(folder: Path) -> None:
    """A controller started with nohup or a shell's `&` ignores them, and child processes inherit that."""
    code = (
        "import signal, sys; from pathlib import Path\n"
        "for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "from spotwave.blocks.local.machines import Machines; from tests.blocks.machine_kit import IDLE, brief, offer\n"
        "Machines(Path(sys.argv[1]), IDLE).launch(offer(), brief())"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, timeout=60)
    machines = Machines(folder)
    (machine,) = machines.find()
    up(machines.place(machine))
    root = root_pid(machines, machine)
    os.killpg(root, signal.SIGINT)  # to the group, as from a terminal: bash ends if its child was ended by it
    until(lambda: machines.state(machine) is MachineState.GONE)


def test_terminated_machine_is_not_launched_again(folder: Path) -> None:
    """Its token is used up, as in a cloud."""
    machines = Machines(folder, IDLE)
    [first] = machines.launch(offer(), brief())
    machines.terminate(first)
    assert machines.launch(offer(), brief())[0] == first
    assert machines.state(first) is MachineState.GONE


def test_two_concurrent_launches_start_one_machine(folder: Path) -> None:
    count = HEAD + 'echo started >>"$SPOTWAVE_WORK/starts"\ntouch "$SPOTWAVE_WORK/up"\nsleep 600\n'
    code = (
        "import sys; from pathlib import Path\n"
        "from spotwave.blocks.local.machines import Machines; from tests.blocks.machine_kit import brief, offer\n"
        "print('ready', flush=True); template = sys.stdin.read()\n"
        "print(Machines(Path(sys.argv[1]), template).launch(offer(), brief())[0].model_dump_json())"
    )
    outputs = set(race(code, [[str(folder)]] * 2, count))
    assert len(outputs) == 1
    machine = Machine.model_validate_json(outputs.pop())
    machines = Machines(folder)
    assert machines.find() == [machine]
    up(machines.place(machine))
    assert (machines.place(machine) / "work/starts").read_text() == "started\n"


def test_interrupted_launch_is_completed_by_the_next(folder: Path) -> None:
    """The launcher was killed after it created the folder, or after it wrote the tags: no process ran yet."""
    machines = Machines(folder, IDLE)
    (folder / "sw-0123456789ab-1-local-1").mkdir(parents=True)
    [machine] = machines.launch(offer(), brief())
    machines.terminate(machine)
    place = folder / "sw-0123456789ab-2-local-1"
    place.mkdir()
    tags = machine.model_copy(update={"id": place.name, "attempt": 2})
    (place / "machine.json").write_text(tags.model_dump_json())
    assert machines.state(tags) is MachineState.GONE
    assert machines.launch(offer(), brief(attempt=2))[0] == tags
    up(place)


def test_machine_is_adopted_if_its_launcher_was_killed_after_the_start(folder: Path) -> None:
    """The process runs, but its id was not recorded: it is found by its mark."""
    machines, machine = running(folder, IDLE)
    before = {process.pid for process in processes(machines, machine)} & {os.getpid(), *psutil.pids()}
    (machines.place(machine) / "root.json").unlink()
    assert machines.launch(offer(), brief())[0] == machine
    assert machines.state(machine) is MachineState.RUNNING
    assert not (machines.place(machine) / "root.json").exists()
    assert before & {process.pid for process in processes(machines, machine)}


def test_daemons_end_with_the_machine(folder: Path) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    place = machines.place(machine)
    until((place / "work/daemon.pid").exists)
    daemon = int((place / "work/daemon.pid").read_text())
    os.kill(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    assert psutil.pid_exists(daemon)
    assert machines.find() == [machine]  # the daemon still runs
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert machines.find() == []


def test_machine_without_its_folder_is_found_and_terminated(folder: Path) -> None:
    machines, machine = running(folder, WITH_DAEMON)
    shutil.rmtree(machines.place(machine))
    assert machines.find("sw-0123456789ab") == [machine]
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert machines.state(machine) is MachineState.GONE


def test_killed_machine_is_gone(folder: Path) -> None:
    """A kill by another program is not an interruption by the cloud."""
    machines, machine = running(folder, IDLE)
    os.killpg(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    until(lambda: machines.find() == [])


def test_machine_that_ends_itself_is_gone(folder: Path) -> None:
    machines = Machines(folder, HEAD)
    [machine] = machines.launch(offer(), brief())
    until(lambda: machines.state(machine) is MachineState.GONE)
    until(lambda: machines.find() == [])


def test_other_process_with_the_same_id_is_not_the_machine() -> None:
    me = psutil.Process()
    assert not is_alive(me.pid, me.create_time(), {ENV_MACHINE: "x"}), "a process without the machine's mark"
    assert not is_alive(me.pid, me.create_time() - 100, {ENV_MACHINE: "x"})
    with subprocess.Popen(["sleep", "60"], env={**os.environ, ENV_MACHINE: "x"}) as its_own:
        assert is_alive(its_own.pid, psutil.Process(its_own.pid).create_time(), {ENV_MACHINE: "x"})
        its_own.kill()


def test_two_homes_are_independent(folder: Path, tmp_path: Path) -> None:
    here, there = Machines(folder, IDLE), Machines(tmp_path.resolve() / "other", IDLE)
    machine, twin = here.launch(offer(), brief())[0], there.launch(offer(), brief())[0]
    try:
        here.terminate(machine)
        assert there.find() == [twin]
        assert there.state(twin) is MachineState.RUNNING
    finally:
        there.terminate(twin)
