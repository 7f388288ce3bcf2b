"""Real servers for tests: PostgreSQL, Redis, nginx, each on 127.0.0.1 and a free port, ended with the test.

Their programs are this computer's, or from unpacked Debian packages (tests/debian.py). PostgreSQL and Redis run as
`nobody` if the tests run as root.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.debian import libraries, program

_START_S = 60.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL that requires its password."""

    port: int
    password: str
    pid: int
    user: str = "spotwave"

    def url(self, database: str = "postgres", driver: str = "postgresql+asyncpg") -> str:
        """Return the address for PREFECT_SERVER_DATABASE_CONNECTION_URL."""
        return f"{driver}://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgres(max_connections: int = 300) -> Iterator[Postgres]:
    """Run an empty PostgreSQL without crash safety; as another user if the tests run as root."""
    initdb = program("initdb")
    server = str(Path(initdb).with_name("postgres"))  # of the same version, if there are several
    with _folder() as folder:
        port, user, password = free_port(), Postgres.user, folder / "password"
        password.write_text(secrets.token_urlsafe(12))
        _hand_over(password)
        data = str(folder / "data")
        command = [initdb, "--pgdata", data, "--username", user, "--pwfile", str(password), "--no-sync"]
        _run_once([*command, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"], folder)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": max_connections,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "jit": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # SIGQUIT, because unlike SIGKILL it ends the children and leaves no shared memory.
        with _served([server, "-D", data, *options], folder, port, signal.SIGQUIT) as pid:
            yield Postgres(port, password.read_text(), pid)


@contextmanager
def redis() -> Iterator[str]:
    """Run an empty Redis; yield its address, `redis://127.0.0.1:<port>/0`."""
    with _folder() as folder:
        port = free_port()
        command = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly"]
        with _served([*command, "no", "--dir", str(folder)], folder, port, signal.SIGTERM):
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def nginx(server: str, folder: Path, tls: bool = False) -> Iterator[int]:
    """Run an nginx with one server block with the content `server`, as the tests' user; yield its port.

    Files that it needs (certificates) may be in `folder`, where its access.log and error.log are written.
    """
    port = free_port()
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\n    access_log {folder}/access.log;\n{temporary}\n    server {{\n"
        f"        listen 127.0.0.1:{port}{' ssl' if tls else ''};\n{server}\n    }}\n}}\n"
    )
    command = [program("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    with _served(command, folder, port, signal.SIGTERM, as_us=True):
        yield port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder for a server's data that the server's user can access, unlike pytest's folders."""
    folder = Path(tempfile.mkdtemp(prefix="spotwave-service-"))
    _hand_over(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hand_over(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _environment(binary: str) -> dict[str, str]:
    """Return a minimal environment, with the libraries that were unpacked with the program."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC"}
    folders = libraries(binary)
    return environment | ({"LD_LIBRARY_PATH": ":".join(folders)} if folders else {})


def _dies_with_us(signal_: int) -> Callable[[], None]:
    return lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal_, 0, 0, 0)


def _as_nobody() -> dict[str, Any]:
    """Return options to start a process as `nobody` if the tests run as root, which PostgreSQL refuses to run as."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _run_once(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(command[0]),
        **_as_nobody(),
        capture_output=True,
        text=True,
        timeout=_START_S,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-500:]}{done.stderr[-1500:]}"


@contextmanager
def _served(command: list[str], folder: Path, port: int, end: int, as_us: bool = False) -> Iterator[int]:
    """Run the server until the block or the tests' process ends; yield its pid when it accepts connections."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(command[0]),
            **({} if as_us else _as_nobody()),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_dies_with_us(end),  # runs after the change of user, which would clear it
        )
    try:
        deadline = time.monotonic() + _START_S
        while not _takes_connections(port):
            assert process.poll() is None, f"{command[0]} ended: {log.read_text()[-1500:]}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer: {log.read_text()[-1500:]}"
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(end)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
