"""The first process of an emulated machine, and its programs `poweroff` and `systemd-run`; standard library only.

As process 1 of its namespaces it configures the loopback with the metadata address, passes listening sockets to the
test's process, runs the user data and, like systemd, timers and services. When it ends, the kernel kills the rest.
Without namespaces it adopts every orphan, and kills all remaining processes before it ends. It ends with its life line.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

METADATA_ADDRESS = "169.254.169.254"
STOP_S = 10.0  # time for a service to stop when the machine powers itself off
_FRESH = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD}


class Init:
    """`told`: life_line (fd), name (of the image's socket), user_data, console, environment, isolated, listen."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._isolated = bool(told["isolated"])
        self._environment: dict[str, str] = told["environment"]
        self._units: dict[int, str] = {}  # main process -> KillMode
        self._timers: list[tuple[float, list[str]]] = []
        self._off_at: float | None = None
        self._life_line = socket.socket(fileno=told["life_line"])
        self._life_line.set_inheritable(False)
        self._calls = socket.socket(socket.AF_UNIX)
        self._calls.bind(told["name"])
        self._calls.listen()

    def run(self) -> None:
        os.chdir("/")
        if self._isolated:
            _network_up()
            _mount_run()
            listeners = [_listener(address, port) for address, port in self._told["listen"]]
            socket.send_fds(self._life_line, [b"up"], [one.fileno() for one in listeners])
            for listener in listeners:
                listener.close()
        else:
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        deaths, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        events = selectors.DefaultSelector()
        for one in (deaths, self._life_line, self._calls):
            events.register(one, selectors.EVENT_READ)
        self._start([self._told["user_data"]], "process")
        while True:
            due = [when for when, _ in self._timers[:1]] + ([self._off_at] if self._off_at else [])
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            for key, _ in events.select(wait):
                if key.fileobj is self._life_line:
                    self._command(self._life_line.recv(4096))
                elif key.fileobj is self._calls:
                    self._serve()
                else:
                    deaths.recv(4096)
            self._reap()
            while self._timers and self._timers[0][0] <= time.monotonic():
                self._start(heapq.heappop(self._timers)[1], "control-group")
            if self._off_at is not None and (not self._units or time.monotonic() >= self._off_at):
                self._off()

    def _command(self, said: bytes) -> None:
        """Handle a command from outside: end of file cuts the power, a number is the seconds for a shutdown."""
        if not said:
            self._off()
        self._shut_down(float(said))

    def _serve(self) -> None:
        """Handle a call of the image's own programs."""
        caller, _ = self._calls.accept()
        with caller:
            call = json.loads(caller.makefile("rb").readline())
            if call["do"] == "poweroff":
                self._shut_down(STOP_S)
            elif call["on_active"] is not None:
                heapq.heappush(self._timers, (time.monotonic() + call["on_active"], call["argv"]))
            else:
                self._start(call["argv"], call["kill_mode"])
            with contextlib.suppress(OSError):
                caller.sendall(b"ok")

    def _start(self, argv: list[str], kill_mode: str) -> None:
        console = (os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError):  # missing program: systemd would only log it, too
            pid = os.posix_spawnp(
                argv[0],
                argv,
                self._environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, self._told["console"], *console),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=_FRESH,
            )
            self._units[pid] = kill_mode

    def _shut_down(self, grace_s: float) -> None:
        """Send SIGTERM as systemd does for services: to the main process, or to all processes of a service."""
        if self._off_at is not None:
            return
        self._off_at = time.monotonic() + grace_s
        self._timers.clear()
        for main, kill_mode in self._units.items():
            for pid in [main, *(_descendants(main) if kill_mode == "control-group" else [])]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._units.pop(pid, None)

    def _off(self) -> None:
        while not self._isolated:
            # Orphans become children of this process, so repeatedly killing children leaves nothing.
            for pid in _children_of(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        os._exit(0)


def _network_up() -> None:
    """Configure the loopback with the metadata address; real clouds use another interface, but there is none here."""
    with socket.socket() as any_socket:
        flags = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, flags)  # SIOCSIFFLAGS
        address = struct.pack("16sHH4s8x", b"lo:0", socket.AF_INET, 0, socket.inet_aton(METADATA_ADDRESS))
        fcntl.ioctl(any_socket, 0x8916, array.array("B", address))  # SIOCSIFADDR


def _mount_run() -> None:
    """Mount a separate /run that indicates, as on a real image, that systemd runs."""
    if ctypes.CDLL(None, use_errno=True).mount(b"tmpfs", b"/run", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount /run")
    Path("/run/systemd/system").mkdir(parents=True)


def _listener(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                # pid (any name) state ppid ...
                found[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _children_of(parent: int) -> list[int]:
    return [pid for pid, its in _parents().items() if its == parent]


def _descendants(root: int) -> list[int]:
    parents, found = _parents(), [root]
    for one in found:
        found += [pid for pid, its in parents.items() if its == one]
    return found[1:]


def call(name: str, program: str, arguments: list[str]) -> int:
    """Run a program of the image by a request to the first process; irrelevant options are ignored."""
    request: dict[str, Any] = {"do": "poweroff"}
    if program == "systemd-run":
        request = {"do": "run", "on_active": None, "kill_mode": "control-group"}
        while arguments and arguments[0].startswith("-"):
            option, _, value = arguments.pop(0).partition("=")
            if option == "--":
                break
            if option == "--on-active":
                request["on_active"] = float(value.removesuffix("s"))
            elif option == "--property" and value.startswith("KillMode="):
                request["kill_mode"] = value.partition("=")[2]
        request["argv"] = arguments
    with socket.socket(socket.AF_UNIX) as init:
        init.connect(name)
        init.sendall(json.dumps(request).encode() + b"\n")
        return 0 if init.recv(2) == b"ok" else 1


if __name__ == "__main__":
    if sys.argv[1] == "init":
        Init(json.loads(sys.argv[2])).run()
    sys.exit(call("\0" + sys.argv[2], sys.argv[3], sys.argv[4:]))
