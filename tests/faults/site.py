"""Where one case runs: a cloud of its own with a remote, a store and a way to the Prefect API that can be cut."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from prefect.blocks.core import Block
from pydantic import SecretStr

from blocks.access import PrefectAccess
from blocks.cloud import Cloud, Machine
from blocks.local.block import LocalCloud
from blocks.rclone import RcloneRemote, rclone_binary
from blocks.snapshots import SnapshotStore
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block as azure_at
from tests.emulators.computer import Computer, Traffic
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_cloud import cloud_at as gcp_at
from tests.faults.disks import mounted
from tests.flows.billing import SEEN_S, WITHIN, wrong_with
from tests.flows.kit import eventually, marked_processes

Booting = AwsEmulator | GcpEmulator | AzureEmulator
LOCAL_USD_H = {"local-1": 0.05, "local-2": 0.1}


class Site(ABC):
    """`served`: the remote is a server on the network and not a folder. `small`: remote and disks are small mounts."""

    kind: str
    cloud: Cloud

    def __init__(self, folder: Path, api: tuple[PrefectAccess, int], *, served: bool, small: bool) -> None:
        """api: the block by which machines of this cloud reach Prefect, and the port where that is."""
        self.folder = folder
        self.small = small
        self._access, self._api_port = api
        self._served = served
        self._open = ExitStack()
        self.remote_relay: Traffic | None = None
        self.remote_port: int | None = None

    def __enter__(self) -> Site:
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
        """The folder that is the remote of all jobs."""
        return self.folder / "remote" / "jobs"

    def blocks(self) -> list[Block]:
        """Cloud, remote, store and access."""
        return [self.cloud, self._remote_block(), SnapshotStore(url=str(self.folder / "store")), self._access_block()]

    @abstractmethod
    def _build(self) -> None:
        """Make the cloud."""

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
        """The port by which all reach the served remote."""
        assert self.remote_port is not None
        return self.remote_port

    def _serve_remote(self) -> int:
        """A real server: rclone's own, for WebDAV."""
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
        """A road to that port which can be cut, and where it begins."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        relay = Traffic([(listener, port)])
        self._open.callback(relay.stop)
        return relay, int(listener.getsockname()[1])

    # What a fault does.

    @abstractmethod
    def machine_ids(self, job_key: str) -> list[str]:
        """Of every machine that ever was, in the order of their attempts."""

    @abstractmethod
    def processes(self, machine_id: str) -> list[psutil.Process]: ...

    @abstractmethod
    def work(self, machine_id: str) -> Path: ...

    @abstractmethod
    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        """Returns at once."""

    @abstractmethod
    def cut_api(self, machine_id: str) -> None: ...

    @abstractmethod
    def cut_remote(self, machine_id: str) -> None: ...

    @abstractmethod
    def away(self, gone: bool) -> None:
        """Whether the cloud's own API answers nobody."""

    @abstractmethod
    def mend(self) -> None:
        """All roads are open, and the cloud answers."""

    # What came of it.

    @abstractmethod
    def lives(self, job_key: str) -> list[tuple[float, float]]:
        """(begun, ended) of every machine, Unix seconds."""

    @abstractmethod
    def left(self, job_key: str) -> list[str]:
        """What is still there, in words."""

    @abstractmethod
    def usd(self, job_key: str) -> float:
        """What the cloud bills."""

    @abstractmethod
    def wrong_receipt(self, told: dict[str, Any]) -> str | None:
        """Where the receipt departs from what the cloud bills."""

    def find(self, machine_id: str, words: str) -> list[psutil.Process]:
        """The machine's processes whose command line holds these words."""
        found = []
        for process in self.processes(machine_id):
            with suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return found


class LocalSite(Site):
    kind = "local"

    def _build(self) -> None:
        self.machines = self.folder / "machines"
        self._cloud = LocalCloud(folder=str(self.machines), prices=LOCAL_USD_H)
        self.cloud = self._cloud
        self._api_relay, self._door = self._relay(self._api_port)

    def _access_block(self) -> PrefectAccess:
        return self._access.model_copy(update={"api_url": f"http://127.0.0.1:{self._door}/api"})

    def _remote_door(self) -> int:
        assert self.remote_port is not None
        self.remote_relay, door = self._relay(self.remote_port)
        return door

    def machine_ids(self, job_key: str) -> list[str]:
        return [machine.id for machine in self._machines(job_key)]

    def _machines(self, job_key: str) -> list[Machine]:
        """By their folders, which stay."""
        found = [
            Machine.model_validate_json(path.read_text()) for path in self.machines.glob(f"{job_key}-*/machine.json")
        ]
        return sorted(found, key=lambda machine: machine.attempt)

    def processes(self, machine_id: str) -> list[psutil.Process]:
        return marked_processes(machine_id)

    def work(self, machine_id: str) -> Path:
        return self.machines / machine_id / "work"

    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        """In a process of its own: the cloud would not wait either."""
        machine = (self.machines / machine_id / "machine.json").read_text()
        code = (
            "import sys; from pathlib import Path; from blocks.cloud import Machine; "
            "from blocks.local.machines import Machines; "
            "Machines(Path(sys.argv[1])).interrupt(Machine.model_validate_json(sys.argv[2]), "
            "None if sys.argv[3] == 'None' else float(sys.argv[3]))"
        )
        cloud = subprocess.Popen([sys.executable, "-c", code, str(self.machines), machine, str(notice_s)])
        self._open.callback(lambda: (cloud.kill(), cloud.wait()))

    def cut_api(self, machine_id: str) -> None:
        self._api_relay.sever(self._api_port)

    def cut_remote(self, machine_id: str) -> None:
        """For the controller too: both are on this computer."""
        assert self.remote_relay is not None
        assert self.remote_port is not None
        self.remote_relay.sever(self.remote_port)

    def away(self, gone: bool) -> None:
        raise NotImplementedError("the local cloud has no API")

    def mend(self) -> None:
        for relay in (self._api_relay, self.remote_relay):
            if relay is not None:
                relay.mend()

    def lives(self, job_key: str) -> list[tuple[float, float]]:
        found = []
        for machine in self._machines(job_key):
            ended = self.machines / machine.id / "ended.json"
            end = ended.stat().st_mtime if ended.exists() else datetime.now().timestamp()
            found.append((machine.launched_at.timestamp(), end))
        return found

    def left(self, job_key: str) -> list[str]:
        return [f"machine {machine.id}" for machine in self._cloud.find(job_key)] + [
            f"secrets of {path.parent.name}" for path in self.machines.glob(f"{job_key}-*/secrets")
        ]

    def wrong_receipt(self, told: dict[str, Any]) -> str | None:
        """Nobody bills here: the prices are the block's, and the receipt's hours are what is looked at."""
        hours = sum(end - begun for begun, end in self.lives(told["job_key"])) / 3600
        said = sum(attempt["bill"]["seconds"] for attempt in told["attempts"]) / 3600
        unseen = SEEN_S / 3600 * len(told["attempts"])
        if abs(said - hours) <= WITHIN * hours or hours < said <= hours + unseen:
            return None
        return f"receipt for {3600 * said:.1f} s, machines lived {3600 * hours:.1f} s"

    def usd(self, job_key: str) -> float:
        prices = [machine.offer.spot_usd_h for machine in self._machines(job_key)]
        lives = self.lives(job_key)
        return sum(price * (end - begun) / 3600 for price, (begun, end) in zip(prices, lives, strict=True))


class EmulatedSite(Site):
    """With namespaces the machines' roads are cut one by one; the controller's stay."""

    emulator: Booting

    def __init__(
        self, kind: str, folder: Path, api: tuple[PrefectAccess, int], *, served: bool = False, small: bool = False
    ) -> None:
        super().__init__(folder, api, served=served, small=small)
        self.kind = kind

    def _build(self) -> None:
        folder = self.folder / "machines"
        match self.kind:
            case "aws":
                amazon = AwsEmulator(folder=folder)
                self.emulator, self.cloud = amazon, aws_at(amazon, attempts=2)
            case "gcp":
                google = GcpEmulator(folder=folder)
                self.emulator, self.cloud = google, gcp_at(google.url)
            case "azure":
                microsoft = AzureEmulator(folder=folder)
                self.emulator, self.cloud = microsoft, azure_at(microsoft)
        self._open.enter_context(self.emulator)
        self.emulator.reach.add(self._api_port)

    def _access_block(self) -> PrefectAccess:
        return self._access

    def _remote_door(self) -> int:
        assert self.remote_port is not None
        self.emulator.reach.add(self.remote_port)
        return self.remote_port

    def machine_ids(self, job_key: str) -> list[str]:
        return list(self.emulator.computers)

    def computer(self, machine_id: str) -> Computer:
        return self.emulator.computers[machine_id]

    def processes(self, machine_id: str) -> list[psutil.Process]:
        return self.computer(machine_id).processes

    def work(self, machine_id: str) -> Path:
        return self.computer(machine_id).work

    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        self.emulator.interrupt(machine_id, notice_s)

    def cut_api(self, machine_id: str) -> None:
        self.computer(machine_id).sever(self._api_port)

    def cut_remote(self, machine_id: str) -> None:
        assert self.remote_port is not None
        self.computer(machine_id).sever(self.remote_port)

    def away(self, gone: bool) -> None:
        self.emulator.away = gone

    def mend(self) -> None:
        self.emulator.away = False
        for computer in self.emulator.computers.values():
            computer.mend()

    def lives(self, job_key: str) -> list[tuple[float, float]]:
        now = datetime.now().timestamp()
        booted = [item for item in self.emulator.ledger.items("machine") if item.id in self.emulator.computers]
        return [(item.begun, item.ended or now) for item in booted]

    def left(self, job_key: str) -> list[str]:
        return [f"{item.kind} {item.id}" for item in self.emulator.ledger.left()] + [
            f"secret {name}" for name in self.emulator.secrets
        ]

    def usd(self, job_key: str) -> float:
        return self.emulator.ledger.usd

    def wrong_receipt(self, told: dict[str, Any]) -> str | None:
        return wrong_with(told, self.emulator.ledger)


def site_of(
    cloud: str,
    folder: Path,
    api: dict[str, tuple[PrefectAccess, int]],
    *,
    served: bool = False,
    small: bool = False,
) -> Site:
    """api: "direct" for machines on this computer, "proxy" for those in clouds."""
    if cloud == "local":
        return LocalSite(folder, api["direct"], served=served, small=small)
    return EmulatedSite(cloud, folder, api["proxy"], served=served, small=small)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spotwave-faults-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


__all__ = ["Site", "json", "port_of", "site_of", "temporary_folder"]
