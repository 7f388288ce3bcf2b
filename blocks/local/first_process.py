"""First process of a local machine: its environment, resource limits, start, and reaping as a child process."""

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

ENV_LAST_ACT = "SPOTWAVE_LAST_ACT"  # file descriptor of the last-act file, for node/boot/bootstrap.sh
ENV_TAGS = "SPOTWAVE_TAGS"  # content of machine.json, to identify processes after their folder was deleted

# Inherited from the controller: search paths, proxies and trusted certificates. Of PREFECT_* only the certificate file;
# never credentials.
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PREFECT_API_SSL_CERT_FILE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")

# Signals ignored or blocked by the controller (nohup, a shell's &) would stay so in the whole tree.
# All processes of the machine inherit the limits: its number (blocks/local/processes.py), how many processes this user
# may have before the machine can start no more (not enforced for root), and how much private memory each process may
# have. That is the memory of the offer, so that a machine that is too small fails here as it would in a cloud.
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

MORE_PROCESSES = 4096  #: including threads; a machine needs a few hundred

_children: dict[int, subprocess.Popen[bytes]] = {}  # started, and so to be reaped, by this process


class Limits(NamedTuple):
    """Resource limits of the first process, inherited by the whole machine; in the order of _FRESH_START."""

    number: int  #: the machine's (blocks/local/processes.py)
    processes: int  #: of this user
    memory_bytes: int  #: private memory of each process

    @classmethod
    def of(cls, number: int, offer: Offer) -> Limits:
        return cls(number, _tasks_of_ours() + MORE_PROCESSES, int(offer.memory_gib * GIB))


def environment_of(place: Path, machine: Machine, rclone: str) -> Mapping[str, str]:
    """Return a machine's environment, with as little of the controller's as possible."""
    inherited = {key: os.environ[key] for key in (*_INHERITED, *_CERTIFICATES, *_PROXIES) if key in os.environ}
    return {
        "TMPDIR": str(place / "tmp"),  # unless `up` has set one: not the directory that all users share
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
    """Start the first process in its own session, and write its pid to a file.

    The last-act file is opened and allocated before, since the disk may be full or read-only at the end.
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
    """Return the number of processes and threads of this user, as RLIMIT_NPROC counts them."""
    found = psutil.process_iter(["uids", "num_threads"])
    return sum(
        one.info["num_threads"] or 1 for one in found if one.info["uids"] and one.info["uids"].real == os.getuid()
    )


def reap() -> None:
    """Reap ended first processes that this process has started; until then they are zombies."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            _children.pop(pid, None)
