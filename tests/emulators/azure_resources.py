"""Resources of the emulated subscription: machines with their parts, their billing and their deletion."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spotwave.blocks.azure.list_prices import DISK_USD_GIB_MONTH, IP_USD_H
from spotwave.blocks.models import HOURS_A_MONTH
from tests.emulators.azure_changes import Changes
from tests.emulators.azure_world import SUBSCRIPTION, Row, World
from tests.emulators.cloud_init import script_of
from tests.emulators.ledger import Ledger
from tests.emulators.life import EmulatedMachine, Life
from tests.emulators.metadata import AzureMetadata

MANAGEMENT = "https://management.azure.com"
_MACHINES = "Microsoft.Compute/virtualMachines"


def resource_id(group: str, type_: str, name: str) -> str:
    """Return an id in the service's spelling."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{type_}/{name}"


@dataclass(kw_only=True)
class Vm(EmulatedMachine):
    metadata: AzureMetadata
    group: str
    name: str
    body: Row  #: body of its PUT
    provisioning: str = "Creating"
    power: str = "running"
    failure: str = ""  #: the code of a failed creation
    parts: list[tuple[str, str]] = field(default_factory=list)  #: (kind, id in lower case)

    @property
    def size(self) -> str:
        return str(self.body["properties"]["hardwareProfile"]["vmSize"])

    @property
    def place(self) -> str:
        """Zone as in an offer, or the region."""
        zones = self.body.get("zones") or []
        return f"{self.body['location']}-{zones[0]}" if zones else str(self.body["location"])


@dataclass
class Part:
    """A disk, interface or address."""

    kind: str  #: "disk", "nic", "ip"
    id: str
    location: str
    tags: dict[str, str]
    user: str | None
    delete_with_user: bool
    zones: list[str] = field(default_factory=list)
    born: datetime = field(default_factory=lambda: datetime.now(UTC))


class Resources(Life[Vm]):
    """All resources. Tests set `exhausted`: there a creation is accepted, but fails later."""

    def __init__(self, world: World, boots: bool, folder: Path | None) -> None:
        super().__init__(Ledger(), boots=boots, folder=folder)
        self.world = world
        self.vms: dict[str, Vm] = {}  # by id in lower case
        self.parts: dict[str, Part] = {}  # the same
        self.clients: dict[str, str] = {}  # client id by identity's id in lower case
        self.changes = Changes()

    def machine(self, id_: str) -> Vm:
        return self.vms[id_]

    def create(self, group: str, name: str, body: Row) -> Vm:
        """Create a machine; if there is no capacity, the parts created before the failure remain."""
        id_, identities = (
            resource_id(group, _MACHINES, name),
            body.get("identity", {}).get("userAssignedIdentities", {}),
        )
        vm = Vm(
            id=id_.lower(),
            tags=dict(body.get("tags") or {}),
            metadata=AzureMetadata(
                name,
                resource_id=id_,
                location=body["location"],
                zone=(body.get("zones") or [None])[0],
                size=body["properties"]["hardwareProfile"]["vmSize"],
                client_id=next((self.clients.get(one.lower()) for one in identities), None),
            ),
            unseen=self.unseen,
            group=group,
            name=name,
            body=body,
        )
        with self.lock:
            self.vms[vm.id] = vm
            self.changes.note("Create", vm.id)
            self._make_parts(vm)
            if not self.room(vm.size, vm.place):
                vm.provisioning, vm.power = "Failed", ""
                vm.failure = "ZonalAllocationFailed" if body.get("zones") else "AllocationFailed"
                self.ledger.open("machine", vm.id)
                return vm
            self.take_room(vm.size, vm.place)
            self.ledger.open("machine", vm.id, self._spot_usd_h(vm))
        if self.boots:
            self.boot(vm, script_of(base64.b64decode(body["properties"]["osProfile"]["customData"])))
        return vm

    def delete(self, vm: Vm) -> None:
        """Delete the machine, and parts with `delete_with_user`; returns when nothing of it runs."""
        vm.provisioning = "Deleting"
        if vm.computer is not None:
            vm.computer.cut_power()
        with self.lock:
            if self.vms.pop(vm.id, None) is None:
                return
            self.ledger.close("machine", vm.id)
            for _, id_ in vm.parts:
                self._let_go(id_)
            self.changes.note("Delete", vm.id)

    def deallocate(self, vm: Vm) -> None:
        if vm.computer is not None:
            vm.computer.cut_power()
        vm.power = "deallocated"
        self.ledger.close("machine", vm.id)

    def delete_part(self, id_: str) -> bool:
        """Delete a part; False if it is in use. Safe to repeat."""
        with self.lock:
            part = self.parts.get(id_)
            if part is None:
                return True
            if part.user is not None and (part.user in self.vms or part.user in self.parts):
                return False
            self._close(part)
            return True

    def take_back(self, machine: Vm) -> None:
        if machine.body["properties"].get("evictionPolicy") == "Delete":
            self.delete(machine)
        else:
            self.deallocate(machine)

    def switched_off(self, machine: Vm) -> None:
        """Shut down from inside; it still occupies its host, so it bills on."""
        if machine.power == "running":
            machine.power = "stopped"

    def machine_with(self, token: str, resource: str) -> Vm | None:
        """Return the running machine whose identity has this token."""
        with self.lock:
            for vm in self.vms.values():
                alive = vm.computer is None or vm.computer.alive
                if alive and token == vm.metadata.token_for(resource):
                    return vm
        return None

    def vcpus_used(self, region: str) -> int:
        return sum(
            self.vcpus(vm.size, region) for vm in self.vms.values() if vm.body["location"] == region and vm.power
        )

    def sku(self, size: str, region: str) -> dict[str, Any] | None:
        """Return the size's capabilities by name, and its zones under 'zones'."""
        for row in self.world.skus.get(region, []):
            if row["name"] == size and row["resourceType"] == "virtualMachines":
                told: dict[str, Any] = {one["name"]: one["value"] for one in row["capabilities"]}
                return told | {"zones": row["locationInfo"][0]["zones"]}
        return None

    def vcpus(self, size: str, region: str) -> int:
        return int((self.sku(size, region) or {}).get("vCPUs", 0))

    def _make_parts(self, vm: Vm) -> None:
        """Create the parts. Interface and address get the tags of their configurations, the disk gets none."""
        properties, where = vm.body["properties"], vm.body["location"]
        zones = list(vm.body.get("zones") or [])
        disk = properties["storageProfile"]["osDisk"]
        self._open(
            vm,
            Part(
                "disk",
                resource_id(vm.group, "Microsoft.Compute/disks", disk.get("name") or f"{vm.name}_OsDisk_1").lower(),
                where,
                {},
                vm.id,
                disk.get("deleteOption") == "Delete",
                zones,
            ),
            disk.get("diskSizeGB", 30) * DISK_USD_GIB_MONTH / HOURS_A_MONTH,
        )
        for interface in properties["networkProfile"]["networkInterfaceConfigurations"]:
            nic = resource_id(vm.group, "Microsoft.Network/networkInterfaces", interface["name"]).lower()
            keep = interface["properties"].get("deleteOption") != "Delete"
            self._open(vm, Part("nic", nic, where, dict(interface.get("tags") or {}), vm.id, not keep))
            for configuration in interface["properties"]["ipConfigurations"]:
                address = configuration["properties"].get("publicIPAddressConfiguration")
                if address:
                    ip = resource_id(vm.group, "Microsoft.Network/publicIPAddresses", address["name"]).lower()
                    keep = address["properties"].get("deleteOption") != "Delete"
                    self._open(vm, Part("ip", ip, where, dict(address.get("tags") or {}), nic, not keep), IP_USD_H)

    def _open(self, vm: Vm, part: Part, usd_h: float = 0.0) -> None:
        self.parts[part.id] = part
        vm.parts.append((part.kind, part.id))
        self.ledger.open(part.kind, part.id, usd_h, of=vm.id)

    def _let_go(self, id_: str) -> None:
        part = self.parts.get(id_)
        if part is not None:
            if part.delete_with_user:
                self._close(part)
            elif part.kind != "ip":
                part.user = None

    def _close(self, part: Part) -> None:
        self.parts.pop(part.id, None)
        self.ledger.close(part.kind, part.id)

    def _spot_usd_h(self, vm: Vm) -> float:
        region = vm.body["location"]
        prices = [
            row["retailPrice"]
            for row in self.world.items.get(region, [])
            if row["armSkuName"] == vm.size
            and row["skuName"].endswith(" Spot")
            and "Windows" not in row["productName"]
            and row["effectiveStartDate"] == "2025-06-01T00:00:00Z"
        ]
        return float(prices[0]) if prices else 0.0


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
