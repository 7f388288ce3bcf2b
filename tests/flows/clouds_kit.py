"""Three emulated clouds with booting machines, as blocks of the embedded default, and jobs on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

from prefect.client.orchestration import SyncPrefectClient
from pydantic import SecretStr

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.cloud import Cloud
from spotwave.blocks.models import Machine, Requirements
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.deployments.home import Home
from spotwave.deployments.processes import ENV_MARK
from spotwave.node.contract import attempt_name
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from tests.conftest import LOGIN, Embedded
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block as azure_at
from tests.emulators.computer import Computer
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_cloud import cloud_at as gcp_at
from tests.emulators.server import Emulator, Request, Response
from tests.faults.hooked import Hooked
from tests.faults.steps import Step
from tests.flows.kit import Job, eventually, get_client, saved, start

PLANTED = f"planted-{token_hex(12)}"  # a password in the rclone.conf
REQUIREMENTS = {"max_vcpus": 4, "max_memory_gib": 64}
NAME = "booting"


class Login(Emulator):
    """This computer's managed identity, as `AzureEmulator` provides it."""

    def __init__(self, azure: AzureEmulator) -> None:
        super().__init__(listening=LOGIN.dup())
        self._azure = azure

    def name_of(self, request: Request) -> str:
        return "login"

    def answer(self, request: Request) -> Response:
        return self._azure.answer(request)


@dataclass(frozen=True)
class Emulated:
    """One emulated cloud: its emulator, its block, and the job's other blocks."""

    kind: str
    emulator: AwsEmulator | GcpEmulator | AzureEmulator
    cloud: Cloud
    blocks: dict[str, Any]  #: parameters of a job that name them
    remote: Path

    def cheapest(self) -> str:
        """Return the label of the offer that a job tries first."""
        ranked = rank(self.cloud.market(), Requirements.model_validate(REQUIREMENTS), Work(1.0), {}).ranked
        return ranked[0].offer.label

    def exhaust(self, label: str) -> None:
        """Leave no capacity for that offer."""
        _, instance_type, place = label.split()
        self.emulator.exhausted.add((instance_type, place))


@dataclass
class CloudJob(Job):
    """A run of shci/water-dimer on an emulated cloud."""

    cloud: Emulated
    known: dict[int, Machine] = field(default_factory=dict)

    @classmethod
    def on(
        cls, cloud: Emulated, embedded: Embedded, client: SyncPrefectClient, at: tuple[Hooked, Step], **parameters: Any
    ) -> Self:
        """Start a job. at: the step at which a process of the job waits."""
        begun = start(embedded, client, at, **cloud.blocks, requirements=REQUIREMENTS, **parameters)
        return cls(embedded.home, client, begun.run_id, cloud, plan=begun.plan)

    @property
    def remote(self) -> Path:
        return self.cloud.remote / self.key

    def machine(self, attempt: int = 1) -> Machine:
        """Return the machine that booted: a failed creation is listed for a moment too."""
        booted = self.cloud.emulator.computers

        def look() -> Machine | None:
            found = [machine for machine in self.cloud.cloud.find(self.key) if machine.id in booted]
            return next((machine for machine in found if machine.attempt == attempt), None)

        if attempt not in self.known:  # a cloud does not list terminated machines
            self.known[attempt] = eventually(f"machine {attempt} of {self.key}", look, every_s=0.5)
        return self.known[attempt]

    def computer(self, attempt: int = 1) -> Computer:
        return self.cloud.emulator.computers[self.machine(attempt).id]

    def work(self, attempt: int = 1) -> Path:
        return self.computer(attempt).work

    def traces(self) -> Iterator[tuple[str, str]]:
        """Yield the places where a secret could have leaked: consoles and logs, the remote, the results, the calls."""
        for computer in self.cloud.emulator.computers.values():
            yield "the user data", (computer.folder / "user-data").read_text()
            yield "the console", computer.console.read_text()
            for path in computer.work.rglob("*.log"):
                yield str(path), path.read_text(errors="replace")
        for folder in (self.remote, self.home.results / self.key):
            for path in folder.rglob("*"):
                if path.is_file() and path.suffix in (".json", ".log", ".jsonl"):
                    yield str(path), path.read_text(errors="replace")
        yield "the calls", "\n".join(self.cloud.emulator.calls)

    def secrets(self) -> set[str]:
        """Return the secrets that must not leak while the job runs: its files, and the token of the attempt."""
        found = {PLANTED}
        for name, content in self.cloud.emulator.secrets.items():
            if self.key in name:
                settings = json.loads(json.loads(content)["api.json"])
                found.add(settings["PREFECT_API_AUTH_STRING"].partition(":")[2])
        return found


@contextmanager
def three_clouds(embedded: Embedded, folder: Path) -> Iterator[dict[str, Emulated]]:
    """Emulate AWS, GCP and Azure, each with a block; a remote with a secret in its rclone.conf; and a proxy."""
    key = PrefectAccess.new_key()
    emulators = {"aws": AwsEmulator(), "gcp": GcpEmulator(), "azure": AzureEmulator()}
    remote = RcloneRemote(
        config=SecretStr(f"[here]\ntype = alias\nremote = {folder / 'remote'}\npass = {PLANTED}\n"), path="here:jobs"
    )
    store = SnapshotStore(url=str(folder / "store"))
    with emulators["aws"] as amazon, emulators["gcp"] as google, emulators["azure"] as microsoft, Login(microsoft):
        os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = microsoft.url  # for the test's own process
        usual, Computer.python = Computer.python, embedded.python  # whose processes can be paused
        access = PrefectAccess(way="proxy", proxy_url="http://127.0.0.1:1", proxy_key=key)
        clouds: dict[str, Cloud] = {
            "aws": aws_at(amazon, attempts=2),
            "gcp": gcp_at(google.url),
            "azure": azure_at(microsoft),
        }
        try:
            with saved(embedded, NAME, access, remote, store, *clouds.values()), proxy(embedded, access) as port:
                for emulator in (amazon, google, microsoft):
                    emulator.reach.add(port)
                yield {
                    kind: Emulated(
                        kind,
                        emulators[kind],
                        cloud,
                        {
                            "clouds": [f"{kind}-cloud/{NAME}"],
                            "access": f"prefect-access/{NAME}",
                            "remote": f"rclone-remote/{NAME}",
                            "store": f"snapshot-store/{NAME}",
                        },
                        folder / "remote" / "jobs",
                    )
                    for kind, cloud in clouds.items()
                }
        finally:
            Computer.python = usual
            del os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"]


@contextmanager
def proxy(embedded: Embedded, access: PrefectAccess) -> Iterator[int]:
    """Run `spotwave proxy` on a free port, and save its URL in the access block."""
    command = [
        sys.executable,
        "-m",
        "spotwave.deployments.cli",
        "proxy",
        "--access",
        f"prefect-access/{NAME}",
        "--port",
        "0",
    ]
    # Without the mark: it belongs to the test, and must survive an `up` that ends the processes of a stopped worker.
    environment = {name: value for name, value in embedded.environment.items() if name != ENV_MARK}
    where = embedded.home.path
    with subprocess.Popen(command, cwd=where, env=environment, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            line = served.stdout.readline()
            assert "proxy ready" in line, line
            url = line.split("proxy ready: ")[1].split(",")[0]
            with embedded.api.in_use(embedded.home):
                access.model_copy(update={"proxy_url": url}).save(NAME, overwrite=True)
            yield int(url.rpartition(":")[2])
        finally:
            served.terminate()


__all__ = ["NAME", "PLANTED", "CloudJob", "Emulated", "Home", "attempt_name", "get_client", "three_clouds"]
