from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.home import home
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.memory import host_memory_gib
from spotwave.blocks.local.prices import sizes
from spotwave.blocks.local.processes import is_alive
from spotwave.blocks.market import offers_of
from spotwave.blocks.models import Machine, MachineState
from spotwave.node.contract import ENV_MACHINE, Brief
from tests.blocks.machine_kit import HEAD, HEEDING, IDLE, WITH_DAEMON, brief, offer, processes, root_pid, until, up

ROOT = Path(__file__).parents[2]


def test_a_machine_is_launched_found_and_terminated(folder: Path) -> None:
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer(), brief())
    assert (machine.cloud, machine.job_key, machine.attempt) == ("local", "sw-0123456789ab", 1)
    up(machines.place(machine))
    assert machines.state(machine) is MachineState.RUNNING
    assert machines.find() == machines.find("sw-0123456789ab") == [machine]
    assert machines.find("sw-ffffffffffff") == []
    place = machines.place(machine)
    assert Brief.from_json((place / "work/brief.json").read_text()).job_key == machine.job_key
    for _ in range(2):
        machines.terminate(machine)
        assert processes(machines, machine) == []
        assert machines.state(machine) is MachineState.GONE
        assert machines.find() == []
    assert not (place / "secrets").exists()
    assert (place / "console.log").exists()
    assert (place / "work/brief.json").exists()


def test_secrets_are_the_owners_alone(folder: Path) -> None:
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer(), brief())
    place = machines.place(machine)
    assert stat.S_IMODE((place / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "secrets/api.json").stat().st_mode) == 0o600
    up(place)
    readable = (place / "bootstrap.sh").read_text() + (place / "machine.json").read_text()
    for process in processes(machines, machine):
        readable += " ".join(process.cmdline()) + str(process.environ())
    assert "PREFECT_API_URL" not in readable


def test_the_environment_is_the_machines_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "the controller's")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the controller's")
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer("local-2", vcpus=2), brief())
    up(machines.place(machine))
    environment = processes(machines, machine)[0].environ()
    assert not [key for key in environment if key.startswith(("PREFECT_", "AWS_"))]
    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["SPOTWAVE_WORK"] == str(machines.place(machine) / "work")
    assert environment["HOME"] == str(machines.place(machine) / "home")
    assert Path(environment["SPOTWAVE_RCLONE"]).exists()
    assert Path(environment["SPOTWAVE_PYTHON"]).exists()


def test_a_machines_way_out_past_proxies_and_to_whom_the_controller_believes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no temporary folder that all users share: Prefect's runner takes one of a fixed name there."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", "/etc/ssl/own.pem")
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer("local-2", vcpus=2), brief())
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


def test_signals_reach_a_machine_launched_by_a_deaf_controller(folder: Path) -> None:
    """A controller started by nohup or a shell's `&` ignores them, and ignoring is inherited."""
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
    os.killpg(root, signal.SIGINT)  # the group, as a terminal does: bash ends if its child ended by it
    until(lambda: machines.state(machine) is MachineState.GONE)


def test_launch_is_idempotent(folder: Path) -> None:
    machines = Machines(folder, IDLE)
    first = machines.launch(offer(), brief())
    assert machines.launch(offer(), brief()) == first
    assert Machines(folder, IDLE).launch(offer(), brief()) == first
    other = machines.launch(offer(), brief(attempt=2))
    assert {machine.id for machine in machines.find()} == {first.id, other.id}
    machines.terminate(first)
    assert machines.launch(offer(), brief()) == first  # the token is spent, as in a cloud
    assert machines.state(first) is MachineState.GONE
    assert machines.state(other) is MachineState.RUNNING


def test_two_launchers_racing_start_one_machine(folder: Path) -> None:
    count = HEAD + 'echo started >>"$SPOTWAVE_WORK/starts"\ntouch "$SPOTWAVE_WORK/up"\nsleep 600\n'
    code = (
        "import sys; from pathlib import Path\n"
        "from spotwave.blocks.local.machines import Machines; from tests.blocks.machine_kit import brief, offer\n"
        "print('ready', flush=True); template = sys.stdin.read()\n"
        "print(Machines(Path(sys.argv[1]), template).launch(offer(), brief()).model_dump_json())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    launchers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for launcher in launchers:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "ready\n"
    for launcher in launchers:
        assert launcher.stdin is not None
        launcher.stdin.write(count)
        launcher.stdin.close()
        launcher.stdin = None
    told = {launcher.communicate(timeout=60)[0] for launcher in launchers}
    assert len(told) == 1
    machine = Machine.model_validate_json(told.pop())
    machines = Machines(folder)
    assert machines.find() == [machine]
    up(machines.place(machine))
    assert (machines.place(machine) / "work/starts").read_text() == "started\n"


def test_a_launch_cut_short_is_finished_by_the_next(folder: Path) -> None:
    """Killed after the folder, and after the tags: nothing ran yet."""
    machines = Machines(folder, IDLE)
    (folder / "sw-0123456789ab-1-local-1").mkdir(parents=True)
    machine = machines.launch(offer(), brief())
    machines.terminate(machine)
    place = folder / "sw-0123456789ab-2-local-1"
    place.mkdir()
    tags = machine.model_copy(update={"id": place.name, "attempt": 2})
    (place / "machine.json").write_text(tags.model_dump_json())
    assert machines.state(tags) is MachineState.GONE
    assert machines.launch(offer(), brief(attempt=2)) == tags
    up(place)


def test_a_launch_killed_right_after_the_start_is_adopted(folder: Path) -> None:
    """The process runs, but nobody has noted its id: it is known by its mark."""
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer(), brief())
    up(machines.place(machine))
    before = {process.pid for process in processes(machines, machine)} & {os.getpid(), *psutil.pids()}
    (machines.place(machine) / "root.json").unlink()
    assert machines.launch(offer(), brief()) == machine
    assert machines.state(machine) is MachineState.RUNNING
    assert not (machines.place(machine) / "root.json").exists()
    assert before & {process.pid for process in processes(machines, machine)}


def test_daemons_end_with_the_machine(folder: Path) -> None:
    machines = Machines(folder, WITH_DAEMON)
    machine = machines.launch(offer(), brief())
    place = machines.place(machine)
    up(place)
    until((place / "work/daemon.pid").exists)
    daemon = int((place / "work/daemon.pid").read_text())
    os.kill(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    assert psutil.pid_exists(daemon)
    assert machines.find() == [machine]  # something of it still runs
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert machines.find() == []


def test_a_machine_whose_folder_is_gone_is_found_and_terminated(folder: Path) -> None:
    machines = Machines(folder, WITH_DAEMON)
    machine = machines.launch(offer(), brief())
    up(machines.place(machine))
    shutil.rmtree(machines.place(machine))
    assert machines.find("sw-0123456789ab") == [machine]
    machines.terminate(machine)
    assert processes(machines, machine) == []
    assert machines.state(machine) is MachineState.GONE


def test_a_killed_machine_is_gone(folder: Path) -> None:
    """By somebody else, without a word: not an interruption that the cloud knows of."""
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer(), brief())
    up(machines.place(machine))
    os.killpg(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: machines.state(machine) is MachineState.GONE)
    until(lambda: machines.find() == [])


def test_a_machine_that_ends_itself_is_gone(folder: Path) -> None:
    machines = Machines(folder, HEAD)
    machine = machines.launch(offer(), brief())
    until(lambda: machines.state(machine) is MachineState.GONE)
    until(lambda: machines.find() == [])


def test_a_notice_that_is_heeded(folder: Path) -> None:
    machines = Machines(folder, HEEDING)
    machine = machines.launch(offer(), brief())
    up(machines.place(machine))
    machines.interrupt(machine, notice_s=120)  # returns as soon as the machine has ended
    notice = json.loads((machines.place(machine) / "work/saved.json").read_text())
    assert notice["action"] == "terminate"
    assert notice["time"] > time.time() + 60
    assert machines.state(machine) is MachineState.INTERRUPTED
    assert processes(machines, machine) == []
    machines.terminate(machine)
    assert machines.state(machine) is MachineState.GONE


def test_a_notice_that_is_ignored(folder: Path) -> None:
    machines = Machines(folder, WITH_DAEMON)
    machine = machines.launch(offer(), brief())
    place = machines.place(machine)
    up(place)
    taking = threading.Thread(target=machines.interrupt, args=(machine, 1.5))
    taking.start()
    until((place / "notice.json").exists)
    seen = machines.state(machine)
    taking.join()
    assert seen is MachineState.RUNNING  # as clouds say until the time has come
    assert machines.state(machine) is MachineState.INTERRUPTED
    assert processes(machines, machine) == []
    assert not (place / "secrets").exists()


def test_taken_back_without_notice(folder: Path) -> None:
    machines = Machines(folder, WITH_DAEMON)
    machine = machines.launch(offer(), brief())
    up(machines.place(machine))
    machines.interrupt(machine, None)
    assert not (machines.place(machine) / "notice.json").exists()
    assert machines.state(machine) is MachineState.INTERRUPTED
    assert processes(machines, machine) == []


def test_shut_down_with_the_computer_is_not_taken_back(folder: Path) -> None:
    """Whether it heeds the notice or not; and a notice of the cloud's own says nothing any more."""
    heeding, deaf = Machines(folder, HEEDING), Machines(folder, WITH_DAEMON)
    for machines, attempt, notice_s in ((heeding, 1, 120.0), (deaf, 2, 0.5)):
        machine = machines.launch(offer(), brief(attempt=attempt))
        place = machines.place(machine)
        up(place)
        machines.shut_down(machine, notice_s)
        assert json.loads((place / "notice.json").read_text())["action"] == "shutdown"
        assert machines.state(machine) is MachineState.HOST_DOWN
        assert processes(machines, machine) == []
        assert not (place / "secrets").exists()
        machines.terminate(machine)
        assert machines.state(machine) is MachineState.GONE


def test_a_machine_that_a_reboot_has_ended_was_not_taken_back(folder: Path) -> None:
    machines = Machines(folder, IDLE)
    machine = machines.launch(offer(), brief())
    place = machines.place(machine)
    up(place)
    os.killpg(root_pid(machines, machine), signal.SIGKILL)
    until(lambda: processes(machines, machine) == [])
    root = json.loads((place / "root.json").read_text())
    (place / "root.json").write_text(json.dumps({**root, "started": psutil.boot_time() - 3600}))
    assert machines.state(machine) is MachineState.HOST_DOWN
    ended = json.loads((place / "ended.json").read_text())
    (place / "ended.json").write_text(json.dumps({**ended, "at": psutil.boot_time() - 60}))
    assert machines.state(machine) is MachineState.GONE, "it had ended before"


def test_another_process_with_the_same_id_is_not_the_machine() -> None:
    me = psutil.Process()
    assert not is_alive(me.pid, me.create_time(), {ENV_MACHINE: "x"}), "its folder names a process without its mark"
    assert not is_alive(me.pid, me.create_time() - 100, {ENV_MACHINE: "x"})
    with subprocess.Popen(["sleep", "60"], env={**os.environ, ENV_MACHINE: "x"}) as its_own:
        assert is_alive(its_own.pid, psutil.Process(its_own.pid).create_time(), {ENV_MACHINE: "x"})
        its_own.kill()


def test_two_homes_do_not_see_each_other(folder: Path, tmp_path: Path) -> None:
    here, there = Machines(folder, IDLE), Machines(tmp_path.resolve() / "other", IDLE)
    machine, twin = here.launch(offer(), brief()), there.launch(offer(), brief())
    try:
        here.terminate(machine)
        assert there.find() == [twin]
        assert there.state(twin) is MachineState.RUNNING
    finally:
        there.terminate(twin)


def test_what_hinders_a_launch_ends_the_job(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(Misconfigured, match="local"):
        Machines(folder, IDLE).launch(offer(), brief())
    folder.unlink()
    with pytest.raises(Misconfigured, match="template"):
        Machines(folder, "echo nothing").launch(offer(), brief())


def test_the_block_does_as_its_machines(folder: Path) -> None:
    cloud = LocalCloud(folder=str(folder), notice_s=7, prices={"local-1": 0.5}, max_vcpus=1, max_memory_gib=0.5)
    (only,) = offers_of(cloud.market().frame)
    assert (only.instance_type, only.vcpus, only.memory_gib, only.notice_s) == ("local-1", 1, 0.5, 7)
    assert only.spot_usd_h == only.on_demand_usd_h == 0.5
    machine = cloud.machines(IDLE).launch(only, brief())
    assert cloud.find() == [machine]
    assert cloud.state(machine) is MachineState.RUNNING
    cloud.interrupt(machine, None)
    assert cloud.state(machine) is MachineState.INTERRUPTED
    cloud.terminate(machine)
    assert cloud.state(machine) is MachineState.GONE


def test_no_process_of_a_machine_has_more_memory_than_the_machine(folder: Path) -> None:
    eats = 'python3 -c "bytes(3 << 29)" || echo "exit status $?"'
    machines = Machines(folder, HEAD + f'{eats}\ntouch "$SPOTWAVE_WORK/up"\nsleep 600\n')
    for gib, said in ((1.0, "MemoryError"), (2.0, "")):
        machine = machines.launch(offer(f"local-{gib:g}", memory_gib=gib), brief())
        until((machines.place(machine) / "work/up").exists)
        told = (machines.place(machine) / "console.log").read_text()
        assert said in told
        assert ("exit status 1" in told) == bool(said)
        machines.terminate(machine)


def test_a_computer_has_no_more_memory_than_its_container(tmp_path: Path) -> None:
    """The tightest limit of those around us, by either version of control groups; `max` and huge are none."""
    here = host_memory_gib()
    groups, mount = tmp_path / "cgroup", tmp_path / "mount"
    (mount / "memory/outer/inner").mkdir(parents=True)
    (mount / "outer").mkdir()
    groups.write_text("4:cpu,memory:/outer/inner\n0::/outer\n")
    assert host_memory_gib(groups, mount) == here, "nothing to be read there"
    (mount / "memory/outer/inner/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (mount / "outer/memory.max").write_text("max\n")
    assert host_memory_gib(groups, mount) == here
    (mount / "memory/outer/memory.limit_in_bytes").write_text(str(1 << 29))
    assert host_memory_gib(groups, mount) == 0.5
    (mount / "outer/memory.max").write_text(f"{1 << 28}\n")
    assert host_memory_gib(groups, mount) == 0.25


def test_sizes_reach_up_to_the_host() -> None:
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


def test_programs_that_are_not_there_are_told() -> None:
    assert LocalCloud().lacks_program("bash") is None
    assert "no-such-solver" in (LocalCloud().lacks_program("no-such-solver") or "")
