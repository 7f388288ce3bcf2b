"""Shared by the tests of machines: bootstrap scripts, offers and briefs, and access to a local machine's processes."""

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

# For a machine in a cloud: writes the content of its user data to files.
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

# Runs until it is terminated.
IDLE = HEAD + 'touch "$SPOTWAVE_WORK/up"\nwhile true; do sleep 0.1; done\n'

# Has a daemon in another session, without a parent, that ignores SIGTERM and keeps starting children.
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

# Reacts to a notice: saves and ends itself.
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
    """`public`: fields of the machine's brief to override."""
    default = Brief(
        job_key=job_key,
        attempt=attempt,
        remote=f"/nowhere/{job_key}",
        lease_id="00000000-0000-0000-0000-000000000000",
        vcpus=1,
        memory_gib=1.0,
        deadline=time.time() + 600,
    )
    files = {"api.json": '{"PREFECT_API_URL": "x"}', "rclone.conf": "[a]\n"} if secrets is None else secrets
    return LaunchBrief(
        replace(default, **public), {name: SecretStr(content) for name, content in files.items()}, disk_gib
    )


def old(machine: Machine) -> Machine:
    """Return the machine as if it had been launched an hour ago."""
    return machine.model_copy(update={"launched_at": datetime.now(UTC) - timedelta(hours=1)})


def same(one: Machine, other: Machine) -> bool:
    """Compare machines, tolerating a launch time that some clouds report slightly differently."""
    near = abs(one.launched_at - other.launched_at) < timedelta(seconds=5)
    return near and one.model_copy(update={"launched_at": other.launched_at}) == other


def until(look: Callable[[], T], timeout_s: float = 30.0) -> T:
    """Poll until the result is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {timeout_s} s"
        time.sleep(0.02)
    return seen


def up(place: Path) -> None:
    until(lambda: (place / "work/up").exists())


def running(folder: Path, template: str) -> tuple[Machines, Machine]:
    """Launch a local machine and wait until it is up."""
    machines = Machines(folder, template)
    [machine] = machines.launch(offer(), brief())
    up(machines.place(machine))
    return machines, machine


def processes(machines: Machines, machine: Machine) -> list[psutil.Process]:
    """Return this machine's processes, but not those of a machine of the same name in the folder of another test."""
    return marked({ENV_MACHINE: machine.id, ENV_WORK: str(machines.place(machine) / "work")})


def root_pid(machines: Machines, machine: Machine) -> int:
    """Return the pid of the machine's first process."""
    return int(json.loads((machines.place(machine) / "root.json").read_text())["pid"])


def race(code: str, arguments: Sequence[Sequence[str]], given: str) -> list[str]:
    """Run the code in several processes at the same moment and return their sorted output. Each prints `ready` first,
    and then gets its standard input."""
    racers = [
        subprocess.Popen([sys.executable, "-c", code, *one], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)
        for one in arguments
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(len(racers)) as pool:
        return sorted(pool.map(lambda racer: racer.communicate(given, timeout=120)[0].strip(), racers))
