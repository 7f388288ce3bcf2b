"""Properties of the emulated computer that the end-to-end tests rely on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.blocks.machine_kit import DAEMON, until
from tests.emulators.computer import Computer, MetadataService, has_namespaces
from tests.emulators.server import Request, Response

NEEDS_ROOT = pytest.mark.skipif(not has_namespaces(), reason="needs root")
MODES = [pytest.param(True, id="namespaces", marks=NEEDS_ROOT), pytest.param(False, id="plain")]
BASH = "#!/bin/bash\n"
ASKS = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode())"


def hello(request: Request) -> Response:
    return Response(f"hello {request.path}".encode())


@contextmanager
def booted(
    folder: Path,
    user_data: str,
    isolated: bool,
    reach: Collection[int] = (),
    on_end: Callable[[], None] = lambda: None,
) -> Iterator[Computer]:
    computer = Computer("i-1", folder, user_data, hello, reach, on_end, isolated=isolated)
    computer.boot()
    try:
        yield computer
    finally:
        computer.cut_power()


def says(computer: Computer, word: str) -> None:
    until(lambda: word in computer.console.read_text())


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


@pytest.mark.parametrize("isolated", MODES)
def test_it_continues_after_its_user_data_until_it_powers_itself_off(tmp_path: Path, isolated: bool) -> None:
    ends: list[None] = []
    go = tmp_path / "go"
    waits = f"until [[ -e {go} ]]; do sleep 0.05; done; poweroff"
    script = f"{BASH}systemd-run --on-active=0.1 -- bash -c '{waits}'\necho over\n"
    with booted(tmp_path / "m", script, isolated, on_end=lambda: ends.append(None)) as computer:
        says(computer, "over")
        until(lambda: [one for one in computer.processes if one.name() in ("bash", "sleep")])
        assert computer.alive
        assert not ends
        go.touch()
        assert computer.wait(15)
        until(lambda: ends)
        assert not computer.processes
    assert len(ends) == 1
    assert not computer.alive


@pytest.mark.parametrize("isolated", MODES)
def test_power_cut_leaves_nothing_and_does_not_call_on_end(tmp_path: Path, isolated: bool) -> None:
    ends: list[None] = []
    script = f"{BASH}export SPOTWAVE_WORK={tmp_path}\npython3 - <<'PY'\n{DAEMON}\nPY\necho up\nsleep 600\n"
    with booted(tmp_path / "m", script, isolated, on_end=lambda: ends.append(None)) as computer:
        says(computer, "up")
        until((tmp_path / "daemon.pid").exists)
        everything = until(lambda: computer.processes if len(computer.processes) >= 3 else [])
        computer.cut_power()
        assert not running(everything)
        assert not computer.processes
        computer.cut_power()
    assert not ends


@pytest.mark.parametrize("isolated", MODES)
def test_shutdown_terminates_first_and_kills_after_the_grace_period(tmp_path: Path, isolated: bool) -> None:
    polite = f"{BASH}trap 'echo saved; exit' TERM\necho up\nwhile true; do sleep 0.05; done\n"
    with booted(tmp_path / "polite", polite, isolated) as computer:
        says(computer, "up")
        computer.shut_down(60)
        assert "saved" in computer.console.read_text()
        assert not computer.alive
    deaf = f"{BASH}trap '' TERM\necho up\nwhile true; do sleep 0.05; done\n"
    with booted(tmp_path / "deaf", deaf, isolated) as computer:
        says(computer, "up")
        everything = computer.processes
        computer.shut_down(0.2)
        assert everything
        assert not running(everything)


@pytest.mark.parametrize("isolated", MODES)
def test_it_can_reach_its_metadata_service(tmp_path: Path, isolated: bool) -> None:
    script = f"{BASH}python3 -c '{ASKS}' ${{SPOTWAVE_METADATA:-http://169.254.169.254}}/latest\nenv\n"
    with booted(tmp_path / "m", script, isolated) as computer:
        says(computer, "hello /latest")
        until(lambda: "PATH=" in computer.console.read_text())
        told = computer.console.read_text()
    assert "HOME=" not in told
    assert "PYTEST" not in told


@NEEDS_ROOT
def test_it_can_only_connect_to_allowed_ports(tmp_path: Path) -> None:
    with MetadataService(hello) as open_, MetadataService(hello) as closed:
        script = f"{BASH}for url in {open_.url}/a {closed.url}/b; do python3 -c '{ASKS}' $url || echo refused; done\n"
        script += "ls /run\necho $$\necho over\n"
        with booted(tmp_path / "m", script, True, [open_.port]) as computer:
            says(computer, "over")
            told = computer.console.read_text()
    assert "hello /a" in told
    assert "hello /b" not in told
    assert "refused" in told
    assert "systemd\n2\nover" in told  # its own /run and processes
    assert closed.calls == []


@pytest.mark.parametrize("isolated", MODES)
def test_it_ends_if_the_test_process_is_killed(tmp_path: Path, isolated: bool) -> None:
    program = f"""
import sys, time
from pathlib import Path
from tests.emulators.computer import Computer
from tests.emulators.server import Response
script = "#!/bin/bash\\n(setsid sleep 600 &)\\nsystemd-run sleep 600\\nsleep 600\\n"
folder = Path({str(tmp_path / "m")!r})
one = Computer("i-1", folder, script, lambda request: Response(b""), [], print, isolated={isolated})
one.boot()
while len([p for p in one.processes if p.name() == "sleep"]) < 3:
    time.sleep(0.02)
print(*[p.pid for p in one.processes], flush=True)
time.sleep(600)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = [int(word) for word in child.stdout.readline().split()]
    processes = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    assert len(processes) >= 3
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    until(lambda: not running(processes))


def test_six_computers_are_independent(tmp_path: Path) -> None:
    ends: list[int] = []
    lock = threading.Lock()

    def note(number: int) -> Callable[[], None]:
        def ended() -> None:
            with lock:
                ends.append(number)

        return ended

    with ExitStack() as stack:
        machines = [
            stack.enter_context(
                booted(tmp_path / str(number), f"{BASH}echo up\nsleep 600\n", has_namespaces(), on_end=note(number))
            )
            for number in range(6)
        ]
        for one in machines:
            says(one, "up")
        machines[2].cut_power()
        assert [one.alive for one in machines] == [True, True, False, True, True, True]
    assert ends == []
    assert not any(one.alive for one in machines)
