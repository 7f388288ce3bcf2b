"""A case on an emulated cloud, with its own ledger."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from spotwave.blocks.access import PrefectAccess
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block as azure_at
from tests.emulators.computer import Computer
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_cloud import cloud_at as gcp_at
from tests.faults.testbed import Testbed
from tests.flows.billing import wrong_with

Booting = AwsEmulator | GcpEmulator | AzureEmulator


class EmulatedTestbed(Testbed):
    """With namespaces, each machine's connections can be cut separately; the controller's stay."""

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

    def wrong_receipt(self, receipt: dict[str, Any]) -> str | None:
        return wrong_with(receipt, self.emulator.ledger)
