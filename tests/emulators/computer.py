"""A machine of an emulated cloud: a process tree on this computer that runs its user data, like a booted image.

As root it has its own network, process and mount namespaces: 169.254.169.254 is its metadata service, and on 127.0.0.1
it can only connect to the ports in `reach`. Without namespaces it is a process tree that gets the address of its
metadata service in SPOTWAVE_METADATA. Its image contains this environment's Python and rclone. Like a real machine it
continues after its user data has ended; only `poweroff` or the outside ends it. It ends with the test's process, even
after SIGKILL.

::

    <folder>/user-data   what it runs         <folder>/image/bin   poweroff, shutdown, systemd-run, python3
    <folder>/console     its output           <folder>/opt/bin     python, rclone: SPOTWAVE_OPT
    <folder>/work        SPOTWAVE_WORK        <folder>/secrets     SPOTWAVE_SECRETS, without namespaces
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import ClassVar

import psutil

from spotwave.blocks.rclone import rclone_binary
from tests.emulators import computer_init
from tests.emulators.server import Emulator, Request, Response
from tests.emulators.traffic import Traffic

_NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--mount-proc"]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@cache
def has_namespaces() -> bool:
    """Whether this process may create namespaces."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False).returncode == 0


class MetadataService(Emulator):
    """A machine's metadata service, served by the test's process; supports `fail`."""

    def __init__(self, metadata: Callable[[Request], Response]) -> None:
        super().__init__()
        self._metadata = metadata

    def name_of(self, request: Request) -> str:
        return f"{request.method} {request.path}"

    def answer(self, request: Request) -> Response:
        return self._metadata(request)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


class Computer:
    """A booted instance. `isolated`: with its own namespaces; None: if possible. `baked`: with Python, Spotwave's
    packages and rclone on its image.

    `on_end` is called once, from a thread, when the machine has powered itself off, but not when it was ended from
    outside. The user data must begin with `#!`, as for cloud-init.
    """

    python: ClassVar[str] = sys.executable  #: of the image

    def __init__(
        self,
        id_: str,
        folder: Path,
        user_data: str,
        metadata: Callable[[Request], Response],
        reach: Collection[int],
        on_end: Callable[[], None],
        *,
        isolated: bool | None = None,
        baked: bool = True,
    ) -> None:
        self.id = id_
        self.folder = folder
        self.console = folder / "console"
        self.metadata = MetadataService(metadata)
        self.isolated = has_namespaces() if isolated is None else isolated
        self._baked = baked
        self._user_data = user_data
        self._reach = sorted(reach)
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._life_line: socket.socket | None = None
        self._told_to_end = False
        self._ended = threading.Event()
        self._traffic: Traffic | None = None

    def boot(self) -> None:
        """Boot the machine, once. Returns at once; the user data runs in the background."""
        name = f"computer-{uuid.uuid4().hex}"
        self._make_image(name)
        self._life_line, theirs = socket.socketpair()
        told = {
            "life_line": theirs.fileno(),
            "name": f"\0{name}",
            "user_data": str(self.folder / "user-data"),
            "console": str(self.console),
            "environment": self._environment(),
            "isolated": self.isolated,
            "listen": [[address, port] for address, port, _ in self._roads()],
        }
        self.metadata.__enter__()
        with theirs, self.console.open("ab") as console:
            self._process = subprocess.Popen(
                [
                    *(_NAMESPACES if self.isolated else []),
                    *[sys.executable, "-I", "-S", computer_init.__file__, "init", json.dumps(told)],
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        threading.Thread(target=self._live, name=f"computer {self.id}", daemon=True).start()

    def shut_down(self, grace_s: float) -> None:
        """Shut down as by ACPI: SIGTERM as from systemd, then SIGKILL after `grace_s`; returns when nothing runs."""
        self._end(str(grace_s).encode(), grace_s)

    def cut_power(self) -> None:
        """Send SIGKILL to all processes; returns when nothing runs. Safe to repeat."""
        self._end(b"", 0.0)

    def sever(self, port: int) -> None:
        """Block that port of this computer for the machine from now on, and cut open connections."""
        assert self._traffic is not None
        self._traffic.sever(port)

    def mend(self) -> None:
        """Allow all connections again."""
        if self._traffic is not None:
            self._traffic.mend()

    @property
    def alive(self) -> bool:
        return self._process is not None and not self._ended.is_set()

    @property
    def processes(self) -> list[psutil.Process]:
        """Every running process of the machine except its first, as seen from outside."""
        if self._process is None:
            return []
        try:
            found = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        first = found[:1] if self.isolated else []  # below unshare
        return [one for one in found if one not in first and _lives(one)]

    @property
    def work(self) -> Path:
        """SPOTWAVE_WORK of the machine."""
        return self.folder / "work"

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing of it runs; False after `timeout_s`."""
        return self._ended.wait(timeout_s)

    def _end(self, command: bytes, grace_s: float) -> None:
        if not self.alive:
            return
        assert self._life_line is not None
        self._told_to_end = True
        if command:
            with contextlib.suppress(OSError):  # it has just ended on its own
                self._life_line.sendall(command)
            if self._ended.wait(grace_s + 5):
                return
        self._kill()
        with contextlib.suppress(OSError):
            self._life_line.shutdown(socket.SHUT_RDWR)
        if not self._ended.wait(30):
            raise TimeoutError(f"machine {self.id} does not end")

    def _kill(self) -> None:
        """Kill the first process if there are namespaces, and the kernel kills the rest. Otherwise the life line's end
        has that effect."""
        assert self._process is not None
        if self.isolated:
            with contextlib.suppress(psutil.NoSuchProcess):
                for first in psutil.Process(self._process.pid).children():
                    first.send_signal(signal.SIGKILL)

    def _live(self) -> None:
        """Wait for the first process's end; forward the machine's connections meanwhile."""
        assert self._life_line is not None
        assert self._process is not None
        roads = self._roads()
        listeners = []
        if self.isolated:
            with contextlib.suppress(OSError):
                fds = socket.recv_fds(self._life_line, 16, len(roads))[1]
                listeners = [socket.socket(fileno=fd) for fd in fds]
        self._traffic = Traffic([(one, to) for one, (_, _, to) in zip(listeners, roads, strict=False)])
        self._process.wait()
        self._traffic.stop()
        self.metadata.__exit__(None, None, None)
        by_itself = not self._told_to_end
        self._ended.set()
        if by_itself:
            self._on_end()

    def _roads(self) -> list[tuple[str, int, int]]:
        """Return (address and port in the machine, port outside)."""
        if not self.isolated:
            return []
        return [
            (computer_init.METADATA_ADDRESS, 80, self.metadata.port),
            *(("127.0.0.1", port, port) for port in self._reach),
        ]

    def _environment(self) -> dict[str, str]:
        """Return the environment as from cloud-init: minimal, without HOME. Folders are set, as the host is shared."""
        environment = {
            "PATH": f"{self.folder / 'image/bin'}:{_PATH}",
            "LANG": "C.UTF-8",
            "SPOTWAVE_OPT": str(self.folder / "opt"),
            "SPOTWAVE_WORK": str(self.work),
            # For its one or two vCPUs: the libraries would otherwise use all of the host's.
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1"),
        }
        if not self.isolated:
            environment["SPOTWAVE_SECRETS"] = str(self.folder / "secrets")
            environment["SPOTWAVE_METADATA"] = self.metadata.url
        return environment

    def _make_image(self, name: str) -> None:
        programs, baked = self.folder / "image/bin", self.folder / "opt/bin"
        for folder in (programs, baked):
            folder.mkdir(parents=True)
        python = shlex.quote(self.python)
        init = f"{python} -I -S {shlex.quote(str(computer_init.__file__))}"
        for program in ("poweroff", "systemd-run"):
            _program(programs / program, f"exec {init} call {name} {program}")
        _program(programs / "shutdown", f"exec {init} call {name} poweroff")
        _program(programs / "python3", f"exec {python}")
        if self._baked:
            _program(baked / "python", f"exec {python}")
            (baked / "rclone").symlink_to(rclone_binary())
        user_data = self.folder / "user-data"
        user_data.write_text(self._user_data)
        user_data.chmod(0o700)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _program(path: Path, command: str) -> None:
    path.write_text(f'#!/bin/sh\n{command} "$@"\n')
    path.chmod(0o755)
