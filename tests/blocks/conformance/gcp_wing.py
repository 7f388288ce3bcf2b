"""Emulated Google Cloud, for the conformance tests of all providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import requests

from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.models import Machine, MachineState
from tests.blocks.conformance.wing import MachinesLike, RentedWing
from tests.emulators import gcp
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_answers import newer_error
from tests.emulators.gcp_cloud import cloud_at
from tests.emulators.gcp_cloud import offer as gcp_offer
from tests.emulators.gcp_routes import BULK_INSERT, DELETE_SECRET, DISKS

PATIENCE_S = 0.6


class GcpWing(RentedWing):
    kind = "gcp"
    emulator: GcpEmulator
    offer = gcp_offer()
    another_type = gcp_offer("n2-standard-8")
    next_zone = gcp_offer(zone="us-central1-b")
    elsewhere = gcp_offer(zone="europe-west4-a")
    parts: ClassVar = ["disk", "ip", "machine", "secret"]
    kept: ClassVar = ["secret"]
    orphans: ClassVar = ["disk"]
    after_loss = MachineState.INTERRUPTED
    during_notice = MachineState.STOPPING
    checked: ClassVar = [
        *("credentials", "launcher's role", "machines' role", "network", "image x86_64", "image arm64"),
        *("quota", "secrets"),
    ]
    calls: ClassVar = {
        "launch": gcp.INSERT,
        "launch of all": BULK_INSERT,
        "list": gcp.INSTANCES,
        "state": gcp.GET,
        "end": gcp.DELETE,
        "secret": gcp.ADD_VERSION,
        "identity": gcp.PROJECT,
        "remove": DELETE_SECRET,
        "leftovers": DISKS,
    }
    denied: ClassVar = {
        "": gcp.refused(403),
        "secret": lambda request, said: newer_error(403, "PERMISSION_DENIED", "'secretmanager.versions.add' denied"),
        "remove": lambda request, said: newer_error(403, "PERMISSION_DENIED", "'secretmanager.secrets.delete' denied"),
        "identity": gcp.refused(401, "authError"),
    }
    remedies: ClassVar = {"": r"docs/accounts/gcp\.md", "identity": "check the GCP Credentials block"}
    server_error = staticmethod(gcp.server_error())
    throttled = staticmethod(gcp.throttled())
    launch_of_all = "launch of all"
    most_tries = 10  # limited by time
    longest_token = 36  # a UUID
    secret_calls: ClassVar = {gcp.ADD_VERSION}
    states: ClassVar = [
        (("PROVISIONING", ""), MachineState.PENDING),
        (("STAGING", ""), MachineState.PENDING),
        (("RUNNING", ""), MachineState.RUNNING),
        (("REPAIRING", ""), MachineState.RUNNING),
        (("STOPPING", ""), MachineState.STOPPING),
        (("TERMINATED", ""), MachineState.STOPPING),
    ]

    def __init__(self, emulator: GcpEmulator) -> None:
        self.emulator = emulator

    def block(self, **fields: Any) -> GcpCloud:
        return cloud_at(self.emulator.url, **fields)

    def machines(self, template: str | None = None) -> MachinesLike:
        return self.block().machines(template, PATIENCE_S)

    def tokens(self) -> list[str]:
        inserts = [one for one in self.emulator.received if self.emulator.name_of(one).startswith(f"{gcp.INSERT} ")]
        return [one.query["requestId"] for one in inserts]

    def small_pages(self) -> None:
        self.emulator.compute.page_size = 1

    def put_into(self, machine: Machine, state: tuple[str, str]) -> None:
        self.emulator.compute.machine(machine.id).status = state[0]

    def user_data(self, machine: Machine) -> str:
        return self._items(machine)["startup-script"]

    def _items(self, machine: Machine) -> dict[str, str]:
        items = self.emulator.compute.machine(machine.id).body["metadata"]["items"]
        return {item["key"]: item["value"] for item in items}

    def forget_offer(self, machine: Machine) -> None:
        self.emulator.compute.machine(machine.id).body["metadata"] = {"items": []}

    def orphan(self, machine: Machine) -> None:
        self.emulator.compute.machine(machine.id).boot_disk["autoDelete"] = False
        self.machines().terminate(machine)

    def no_quota(self, region: str) -> None:
        self.emulator.without_quota.add(region)

    def close(self, region: str) -> None:
        self.emulator.world.closed.add(region)

    def secret_reader(self, machine: Machine, token: str | None = None) -> Callable[[], int]:
        bearer = {"Authorization": f"Bearer {token or self.emulator.compute.machine(machine.id).metadata.token}"}
        where = f"{self.emulator.url}/v1/projects/spotwave-test/secrets/{self.secret_name}/versions/latest:access"
        return lambda: requests.get(where, headers=bearer, timeout=10).status_code

    def ended_itself(self, machine: Machine) -> bool:
        return f"{gcp.DELETE} {machine.zone} {machine.id}" in self.emulator.calls

    def not_here(self) -> GcpCloud:
        return GcpCloud(credentials=self.block().credentials)


@contextmanager
def made(folder: Path, boots: bool) -> Iterator[GcpWing]:
    with GcpEmulator(boots=boots, folder=folder) as emulator:
        yield GcpWing(emulator)
