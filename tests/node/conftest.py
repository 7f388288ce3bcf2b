"""Real remotes for tests: a folder, and rclone's own WebDAV and S3 servers, which keep no times or no folders."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from spotwave.node.storage.remote import Remote

PASSWORD = "correct-horse-battery"
RCLONE = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone") or "rclone"


@dataclass(frozen=True)
class Servers:
    """rclone.conf with the remotes `dav`, `s3`, `wrong` (password) and `away` (no server), and its secrets."""

    config: Path
    secrets: tuple[str, ...]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(kind: str, port: int, folder: Path, **environment: str) -> Iterator[None]:
    folder.mkdir()
    with (folder.parent / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [RCLONE, "serve", kind, f"--addr=127.0.0.1:{port}", "--config=", str(folder)],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    dav, s3, away = free_port(), free_port(), free_port()

    def obscured(word: str) -> str:
        return subprocess.run([RCLONE, "obscure", word], capture_output=True, text=True, check=True).stdout.strip()

    right, wrong = obscured(PASSWORD), obscured("wrong-" + PASSWORD)
    config = folder / "rclone.conf"
    config.write_text(
        "\n".join(
            [
                *(
                    f"[{name}]\ntype = webdav\nurl = http://127.0.0.1:{port}\nvendor = other\nuser = u\npass = {word}\n"
                    for name, port, word in (("dav", dav, right), ("wrong", dav, wrong), ("away", away, right))
                ),
                f"[s3]\ntype = s3\nprovider = Rclone\nendpoint = http://127.0.0.1:{s3}\nforce_path_style = true",
                f"access_key_id = AKIDEXAMPLE\nsecret_access_key = {PASSWORD}\n",
            ]
        )
    )
    with (
        serving("webdav", dav, folder / "dav", RCLONE_USER="u", RCLONE_PASS=PASSWORD),
        serving("s3", s3, folder / "s3", RCLONE_AUTH_KEY=f'"AKIDEXAMPLE,{PASSWORD}"'),
    ):
        (folder / "s3/bucket").mkdir()
        yield Servers(config, (PASSWORD, right, wrong, "AKIDEXAMPLE"))


@pytest.fixture(params=["folder", "dav", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    """A job's folder on each kind of backend; it does not exist yet."""
    if request.param == "folder":
        return Remote(RCLONE, None, str(tmp_path / "remote/job"))
    servers: Servers = request.getfixturevalue("servers")
    base = {"dav": "dav:jobs", "s3": "s3:bucket"}[request.param]
    return Remote(RCLONE, servers.config, f"{base}/{tmp_path.name}")


@pytest.fixture
def local_remote(tmp_path: Path) -> Remote:
    return Remote(RCLONE, None, str(tmp_path / "remote/job"))
