"""A local machine's first process: its environment, its limits, its start, and its end where it is our child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from spotwave.blocks.endpoints import past_proxies
from spotwave.blocks.local.machine_notes import LAST_ACT_FILE, NOTICE_FILE, ROOT_FILE
from spotwave.blocks.local.memory import GIB
from spotwave.blocks.models import Machine, Offer
from spotwave.node.contract import ENV_NOTICE, ENV_PYTHON, ENV_RCLONE, ENV_SECRETS, write_text

CONSOLE_LOG = "console.log"

ENV_LAST_ACT = "SPOTWAVE_LAST_ACT"  # its number as an open file, for node/boot/bootstrap.sh
ENV_TAGS = "SPOTWAVE_TAGS"  # machine.json, so that processes can be named after their folder is gone

# Passed on from the controller: how to find programs, the way out, and whom to believe there. Of PREFECT_* only the
# latter, a file of certificates; never credentials.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PREFECT_API_SSL_CERT_FILE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")

# Signals ignored or blocked by the controller (nohup, a shell's &) would stay so for the whole tree.
# The limits are inherited by whatever the machine starts: its number (blocks/local/processes.py), how many processes
# this user may have before the machine can start no more (which does not bind root), and how much private memory each
# of them may have: no more than the machine has by its offer, so that one that is too small shows it here as elsewhere.
_FRESH_START = """
import os, resource, signal, sys
limits = (resource.RLIMIT_RTTIME, resource.RLIMIT_NPROC, resource.RLIMIT_DATA)
for limit, value in zip(limits, map(int, sys.argv[1:4])):
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD):
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [])
os.execv(sys.argv[4], sys.argv[4:])
"""

MORE_PROCESSES = 4096  #: threads included; a machine needs a few hundred

_children: dict[int, subprocess.Popen[bytes]] = {}  # started by this process, hence for it to reap


class Limits(NamedTuple):
    """What the first process, and so all of a machine, is started under; in the order of _FRESH_START."""

    number: int  #: the machine's (blocks/local/processes.py)
    processes: int  #: of this user
    memory_bytes: int  #: private memory of each process

    @classmethod
    def of(cls, number: int, offer: Offer) -> Limits:
        return cls(number, _tasks_of_ours() + MORE_PROCESSES, int(offer.memory_gib * GIB))


def environment_of(place: Path, machine: Machine, rclone: str) -> Mapping[str, str]:
    """A machine's environment: as little of the controller's as can be."""
    inherited = {key: os.environ[key] for key in (*_INHERITED, *_CERTIFICATES, *_PROXIES) if key in os.environ}
    return {
        "TMPDIR": str(place / "tmp"),  # where `up` has named none: not one that all users share
        **inherited,
        **past_proxies(inherited),
        **dict.fromkeys(_THREADS, str(machine.offer.vcpus)),
        "HOME": str(place / "home"),
        ENV_SECRETS: str(place / "secrets"),
        ENV_NOTICE: str(place / NOTICE_FILE),
        ENV_TAGS: machine.model_dump_json(),
        ENV_PYTHON: sys.executable,
        ENV_RCLONE: rclone,
    }


def start(place: Path, bash: str, environment: Mapping[str, str], limits: Limits) -> None:
    """Start the first process, in a session of its own, and note who it is.

    Its last act goes into a file that is open and has a block of the disk: by then this may be full or read-only.
    """
    with (place / CONSOLE_LOG).open("ab") as console, (place / LAST_ACT_FILE).open("wb", buffering=0) as last_act:
        last_act.write(b".")
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", _FRESH_START, *map(str, limits)),
                *(bash, str(place / "bootstrap.sh")),
            ],
            cwd=place,
            env={**environment, ENV_LAST_ACT: str(last_act.fileno())},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=[last_act.fileno()],
            start_new_session=True,
        )
    _children[process.pid] = process
    started = psutil.Process(process.pid).create_time()
    write_text(place / ROOT_FILE, json.dumps({"pid": process.pid, "started": started}))


def _tasks_of_ours() -> int:
    """Processes and threads of this user: what RLIMIT_NPROC counts."""
    found = psutil.process_iter(["uids", "num_threads"])
    return sum(
        one.info["num_threads"] or 1 for one in found if one.info["uids"] and one.info["uids"].real == os.getuid()
    )


def reap() -> None:
    """A first process that has ended stays a zombie until its launcher, if that is us, has looked."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            _children.pop(pid, None)
