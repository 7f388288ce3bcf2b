"""The environment of one case: its own cloud, remote and store, and connections to the Prefect API that can be cut."""

from __future__ import annotations

import socket
import subprocess
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
from prefect.blocks.core import Block
from pydantic import SecretStr

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.cloud import Cloud
from spotwave.blocks.rclone import RcloneRemote, rclone_binary
from spotwave.blocks.snapshots import SnapshotStore
from tests.emulators.traffic import Traffic
from tests.faults.disks import mounted
from tests.flows.kit import eventually
from tests.processes import words


class Testbed(ABC):
    """`served`: the remote is a network server instead of a folder. `small`: remote and disks are small mounts."""

    __test__ = False  # for pytest: not a test, despite its name

    kind: str
    cloud: Cloud

    def __init__(self, folder: Path, api: tuple[PrefectAccess, int], *, served: bool, small: bool) -> None:
        """api: the access block of this cloud's machines, and the port of the Prefect API."""
        self.folder = folder
        self.small = small
        self._access, self._api_port = api
        self._served = served
        self._open = ExitStack()
        self.remote_relay: Traffic | None = None
        self.remote_port: int | None = None

    def __enter__(self) -> Testbed:
        self.folder.mkdir(parents=True)
        for name in ("remote", "machines"):
            (self.folder / name).mkdir()
            if self.small:
                self._open.enter_context(mounted(self.folder / name, 96))
        self._build()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def remote(self) -> Path:
        """Return the folder that is the remote of all jobs."""
        return self.folder / "remote" / "jobs"

    def blocks(self) -> list[Block]:
        """Return the blocks: cloud, remote, store and access."""
        return [self.cloud, self._remote_block(), SnapshotStore(url=str(self.folder / "store")), self._access_block()]

    @abstractmethod
    def _build(self) -> None:
        """Create the cloud."""

    @abstractmethod
    def _access_block(self) -> PrefectAccess: ...

    def _remote_block(self) -> RcloneRemote:
        if not self._served:
            config = f"[here]\ntype = alias\nremote = {self.folder / 'remote'}\n"
        else:
            self.remote_port = self._serve_remote()
            config = f"[here]\ntype = webdav\nvendor = other\nurl = http://127.0.0.1:{self._remote_door()}\n"
        return RcloneRemote(config=SecretStr(config), path="here:jobs")

    def _remote_door(self) -> int:
        """Return the port at which the served remote is reached."""
        assert self.remote_port is not None
        return self.remote_port

    def _serve_remote(self) -> int:
        """Start a real server: rclone's WebDAV server."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        command = [rclone_binary(), "serve", "webdav", str(self.folder / "remote"), "--addr", f"127.0.0.1:{port}"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._open.callback(lambda: (server.kill(), server.wait()))

        def answers() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        eventually("the remote's server answers", answers, 30)
        return port

    def _relay(self, port: int) -> tuple[Traffic, int]:
        """Open a connection to that port that can be cut; return the relay and its port."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        relay = Traffic([(listener, port)])
        self._open.callback(relay.stop)
        return relay, int(listener.getsockname()[1])

    # Actions of faults.

    @abstractmethod
    def machine_ids(self, job_key: str) -> list[str]:
        """Return the ids of all machines, past ones included, in the order of their attempts."""

    @abstractmethod
    def processes(self, machine_id: str) -> list[psutil.Process]: ...

    @abstractmethod
    def work(self, machine_id: str) -> Path: ...

    @abstractmethod
    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        """Interrupt the machine; returns at once."""

    @abstractmethod
    def cut_api(self, machine_id: str) -> None: ...

    @abstractmethod
    def cut_remote(self, machine_id: str) -> None: ...

    @abstractmethod
    def away(self, gone: bool) -> None:
        """Set whether the cloud's own API is unavailable."""

    @abstractmethod
    def mend(self) -> None:
        """Restore all connections, and the cloud's API."""

    # Observations for the verdict.

    @abstractmethod
    def lives(self, job_key: str) -> list[tuple[float, float]]:
        """Return (begun, ended) of every machine, Unix seconds."""

    @abstractmethod
    def left(self, job_key: str) -> list[str]:
        """Return the resources that are left, as text."""

    @abstractmethod
    def usd(self, job_key: str) -> float:
        """Return the amount that the cloud bills."""

    @abstractmethod
    def wrong_receipt(self, receipt: dict[str, Any]) -> str | None:
        """Return the difference between the receipt and the cloud's bill, if any."""

    def find(self, machine_id: str, module: str) -> list[psutil.Process]:
        """Return the machine's processes that run this module."""
        return [process for process in self.processes(machine_id) if module in words(process)]
