"""Emulated Azure, for the conformance tests of all providers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.azure.clients import RETRIES
from spotwave.blocks.models import Machine, MachineState
from tests.blocks.conformance.wing import MachinesLike, RentedWing
from tests.emulators import azure
from tests.emulators.azure import AzureEmulator
from tests.emulators.azure_kit import block, emulated
from tests.emulators.azure_kit import offer as azure_offer
from tests.emulators.azure_vault import RESOURCE
from tests.emulators.cloud_init import script_of
from tests.emulators.server import Fault, lost


class AzureWing(RentedWing):
    kind = "azure"
    emulator: AzureEmulator
    offer = azure_offer()
    another_type = azure_offer("Standard_D4as_v5")
    next_zone = azure_offer(zone="eastus-2")
    elsewhere = azure_offer(zone="westeurope-2", region="westeurope")
    parts: ClassVar = ["disk", "ip", "machine", "nic", "secret"]
    kept: ClassVar = ["secret"]
    orphans: ClassVar = ["disk", "ip", "nic"]
    after_loss = MachineState.GONE  # Azure reports no reason
    checked: ClassVar = [
        *("credentials", "resource group", "providers", "rights", "quota", "identity", "network eastus"),
        *("image x86_64", "image arm64", "secrets"),
    ]
    calls: ClassVar = {
        "launch": "virtualMachines.put",
        "list": "virtualMachines.list",
        "state": "virtualMachines.get",
        "end": "virtualMachines.delete",
        "secret": "secrets.put",
        "identity": "GET",
        "remove": "secrets.delete",
        "leftovers": "disks.list",
    }
    denied: ClassVar = {
        "": azure.refused(403, "AuthorizationFailed"),
        "secret": azure.refused(403, "Forbidden"),
        "remove": azure.refused(403, "Forbidden"),
        "identity": azure.refused(401, "InvalidAuthenticationToken"),
    }
    remedies: ClassVar = {
        "": r"azure-launcher\.json",
        "secret": "Key Vault Secrets Officer",
        "remove": "Key Vault Secrets Officer",
        "identity": "credentials",
    }
    server_error = staticmethod(azure.server_error())
    throttled = staticmethod(azure.throttled(0))
    most_tries = RETRIES + 1
    longest_token = 64
    secret_calls: ClassVar = {"secrets.put"}
    states: ClassVar = [
        (("Creating", ""), MachineState.PENDING),
        (("Creating", "starting"), MachineState.PENDING),
        (("Succeeded", "running"), MachineState.RUNNING),
        (("Succeeded", "stopped"), MachineState.STOPPING),
        (("Updating", "deallocating"), MachineState.STOPPING),
        (("Succeeded", "deallocated"), MachineState.INTERRUPTED),
        (("Deleting", "running"), MachineState.STOPPING),
        (("Failed", ""), MachineState.STOPPING),
        (("Failed", "running"), MachineState.RUNNING),
    ]

    def __init__(self, emulator: AzureEmulator) -> None:
        self.emulator = emulator
        emulator.resources.changes.lag_s = 0.0

    def block(self, **fields: Any) -> AzureCloud:
        return AzureCloud(**{**dict(block(self.emulator)), **fields})

    def machines(self, template: str | None = None) -> MachinesLike:
        return self.block().machines(template)

    def tokens(self) -> list[str]:
        puts = [call.partition(" ") for call in self.emulator.calls]
        return [name for call, _, name in puts if call == self.calls["launch"]]

    def go_away(self) -> None:
        """Stop answering, except for logins: the identity endpoint is really on the caller's computer."""
        self.emulator.fail(Fault(lambda request: request.path != azure.LOGIN, lost(), instead=True))

    def small_pages(self) -> None:
        self.emulator.arm.a_page = 1

    def put_into(self, machine: Machine, state: tuple[str, str]) -> None:
        vm = self.emulator.resources.vms[machine.id]
        vm.provisioning, vm.power = state

    def user_data(self, machine: Machine) -> str:
        body = self.emulator.resources.vms[machine.id].body
        return script_of(base64.b64decode(body["properties"]["osProfile"]["customData"]))

    def forget_offer(self, machine: Machine) -> None:
        del self.emulator.resources.vms[machine.id].tags["spotwave-offer-0"]

    def orphan(self, machine: Machine) -> None:
        """Delete the machine but keep its parts, as its owner can in the portal."""
        vm = self.emulator.resources.vms[machine.id]
        for _, id_ in vm.parts:
            self.emulator.resources.parts[id_].delete_with_user = False
        self.emulator.resources.delete(vm)

    def no_quota(self, region: str) -> None:
        self.emulator.settings.spot_vcpus[region] = 1

    def close(self, region: str) -> None:
        self.emulator.settings.closed[region] = "RequestDisallowedByAzure"

    def secret_reader(self, machine: Machine, token: str | None = None) -> Callable[[], int]:
        its = self.emulator.resources.vms[machine.id].metadata.token_for(RESOURCE)
        where = f"{self.emulator.url}/secrets/{self.secret_name}?api-version=7.4"
        return lambda: requests.get(where, headers={"Authorization": f"Bearer {token or its}"}, timeout=10).status_code

    def ended_itself(self, machine: Machine) -> bool:
        return any(call.startswith("virtualMachines.delete") for call in self.emulator.calls)

    def not_here(self) -> AzureCloud:
        return AzureCloud()


@contextmanager
def made(folder: Path, boots: bool) -> Iterator[AzureWing]:
    with pytest.MonkeyPatch.context() as patched, emulated(patched, AzureEmulator(boots=boots, folder=folder)) as azure:
        yield AzureWing(azure)
