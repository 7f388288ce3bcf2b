"""What the tests of machines share: a bootstrap of their own, offers and briefs, a local machine's processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE
from typing import Any, TypeVar

import psutil
from pydantic import SecretStr

from spotwave.blocks.local.machines import Machines
from spotwave.blocks.local.processes import marked
from spotwave.blocks.models import LaunchBrief, Machine, Offer
from spotwave.node.contract import ENV_MACHINE, ENV_WORK, Brief
from tests.emulators.offers import made_offer

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
JOB_KEY = "sw-0123456789ab"

HEAD = """#!/usr/bin/env bash
set -euo pipefail
@SETTINGS@
cat >"$SPOTWAVE_WORK/brief.json" <<'BRIEF'
@BRIEF@
BRIEF
"""

# Of a machine in a cloud: what its user data carries, written down.
CLOUD_HEAD = """#!/usr/bin/env bash
set -eu
@SETTINGS@
mkdir -p "$SPOTWAVE_WORK"
cd "$SPOTWAVE_WORK"
cat >brief.json <<'BRIEF'
@BRIEF@
BRIEF
cat >cloud.py <<'CLOUD'
@CLOUD@
CLOUD
cat >pins.txt <<'PINS'
@PINS@
PINS
"""

# A machine that works until it is ended.
IDLE = HEAD + 'touch "$SPOTWAVE_WORK/up"\nwhile true; do sleep 0.1; done\n'

# One with a daemon: another session, no parent, deaf to SIGTERM, and starting new children all the time.
DAEMON = """
import os, signal, time
if os.fork():
    os._exit(0)
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with open(os.environ["SPOTWAVE_WORK"] + "/daemon.pid.part", "w") as out:
    out.write(str(os.getpid()))
os.rename(out.name, out.name.removesuffix(".part"))
while True:
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    time.sleep(0.05)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
"""
WITH_DAEMON = HEAD + f"\"$SPOTWAVE_PYTHON\" - <<'PY'\n{DAEMON}\nPY\n" + 'touch "$SPOTWAVE_WORK/up"\nsleep 600\n'

# One that heeds a notice: it saves and ends by itself.
HEEDING = (
    HEAD
    + """touch "$SPOTWAVE_WORK/up"
while [[ ! -f $SPOTWAVE_NOTICE ]]; do sleep 0.05; done
cp "$SPOTWAVE_NOTICE" "$SPOTWAVE_WORK/saved.json"
"""
)


def offer(instance_type: str = "local-1", vcpus: int = 1, memory_gib: float = 1.0) -> Offer:
    size = {"vcpus": vcpus, "cores": vcpus, "memory_gib": memory_gib}
    return made_offer("local", instance_type, "here", None, family="local", spot_usd_h=0.0, notice_s=30.0, **size)


def brief(
    job_key: str = JOB_KEY,
    attempt: int = 1,
    secrets: Mapping[str, str] | None = None,
    disk_gib: float = 20.0,
    **public: Any,
) -> LaunchBrief:
    """`public`: fields of the machine's brief that are to differ."""
    told = Brief(
        job_key=job_key,
        attempt=attempt,
        remote=f"/nowhere/{job_key}",
        lease_id="00000000-0000-0000-0000-000000000000",
        vcpus=1,
        memory_gib=1.0,
        deadline=time.time() + 600,
    )
    files = {"api.json": '{"PREFECT_API_URL": "x"}', "rclone.conf": "[a]\n"} if secrets is None else secrets
    return LaunchBrief(replace(told, **public), {name: SecretStr(content) for name, content in files.items()}, disk_gib)


def old(machine: Machine) -> Machine:
    """As if it had been launched long ago."""
    return machine.model_copy(update={"launched_at": datetime.now(UTC) - timedelta(hours=1)})


def same(one: Machine, other: Machine) -> bool:
    """Of a launch some clouds give a time that is a moment off."""
    near = abs(one.launched_at - other.launched_at) < timedelta(seconds=5)
    return near and one.model_copy(update={"launched_at": other.launched_at}) == other


def until(look: Callable[[], T], timeout_s: float = 30.0) -> T:
    """Poll until the look is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {timeout_s} s"
        time.sleep(0.02)
    return seen


def up(place: Path) -> None:
    until(lambda: (place / "work/up").exists())


def running(folder: Path, template: str) -> tuple[Machines, Machine]:
    """A local machine that is up."""
    machines = Machines(folder, template)
    [machine] = machines.launch(offer(), brief())
    up(machines.place(machine))
    return machines, machine


def processes(machines: Machines, machine: Machine) -> list[psutil.Process]:
    """Of this machine, and not of one of the same name that another test runs just now in a folder of its own."""
    return marked({ENV_MACHINE: machine.id, ENV_WORK: str(machines.place(machine) / "work")})


def root_pid(machines: Machines, machine: Machine) -> int:
    """Of its first process."""
    return int(json.loads((machines.place(machine) / "root.json").read_text())["pid"])


def race(code: str, arguments: Sequence[Sequence[str]], given: str) -> list[str]:
    """What processes print, sorted, that run the code at the same moment: each prints `ready`, and is then given its
    standard input."""
    racers = [
        subprocess.Popen([sys.executable, "-c", code, *one], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)
        for one in arguments
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(len(racers)) as pool:
        return sorted(pool.map(lambda racer: racer.communicate(given, timeout=120)[0].strip(), racers))
