"""Life cycle of the emulated Compute Engine's machines: creation, boot, billing, preemption, deletion."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spotwave.blocks.gcp import list_prices
from tests.emulators.gcp_answers import resource
from tests.emulators.gcp_operations import Failed, Operations, now
from tests.emulators.gcp_prices import spot_prices
from tests.emulators.gcp_quotas import too_much
from tests.emulators.gcp_world import World
from tests.emulators.ledger import Ledger
from tests.emulators.life import EmulatedMachine, Life
from tests.emulators.metadata import GcpMetadata

_HOURS_A_MONTH = 730.0
_STOPPED = ("TERMINATED", "STOPPING")


@dataclass(kw_only=True)
class Instance(EmulatedMachine):
    """An existing instance; `body` is its insertion with fields added by the service; its tags are the labels."""

    metadata: GcpMetadata
    zone: str
    body: dict[str, Any]
    status: str = "PROVISIONING"
    end: threading.Timer | None = None

    @property
    def boot_disk(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["disks"][0]
        return found


@dataclass
class Broken:
    """Makes the next `times` insertions fail in their operation."""

    code: str
    message: str
    times: int = 1
    status: int = 503
    details: list[dict[str, Any]] = field(default_factory=list)


class Instances(Life[Instance]):
    """Instances, with everything that happens to them after or without a call."""

    def __init__(self, world: World, *, boots: bool, folder: Path | None) -> None:
        super().__init__(Ledger(least_s=60.0), boots=boots, folder=folder)
        self.world = world
        self.without_quota: set[str] = set()  #: regions
        self.broken: list[Broken] = []
        self.delay_s = 0.0  #: duration of an operation
        self.instances: dict[tuple[str, str], Instance] = {}
        self.disks: dict[tuple[str, str], dict[str, Any]] = {}
        self.operations = Operations(world.project)
        self._prices: dict[tuple[str, str], float] | None = None

    def machine(self, id_: str) -> Instance:
        with self.lock:
            found = next((one for one in self.instances.values() if one.id == id_), None)
        if found is None:
            raise KeyError(id_)
        return found

    def interrupt(self, id_: str, notice_s: float | None) -> None:
        """Preempt a machine. With a notice, metadata and ACPI signal it at once; `notice_s` later it ends."""
        machine = self.machine(id_)
        if notice_s is None:
            self.take_back(machine)
            return
        self._preempted(machine)
        machine.metadata.notice()

        def reclaim() -> None:
            if machine.computer is not None:
                machine.computer.shut_down(notice_s)
            self._end_of(machine)

        threading.Thread(target=reclaim, daemon=True).start()

    def take_back(self, machine: Instance) -> None:
        self._preempted(machine)
        self._end_of(machine)

    def _preempted(self, machine: Instance) -> None:
        with self.lock:
            self.operations.note(machine.zone, "compute.instances.preempted", f"instances/{machine.id}")
            machine.status = "STOPPING"

    def switched_off(self, machine: Instance) -> None:
        """Shut down from inside: vCPUs and the ephemeral address no longer bill, but the disk does."""
        with self.lock:
            if (machine.zone, machine.id) in self.instances and machine.status == "RUNNING":
                machine.status = "TERMINATED"
                self.ledger.close("machine", machine.id)
                self.ledger.close("ip", machine.id)

    def living(self, token: str) -> Instance | None:
        """Return the running machine whose service account has that token."""
        with self.lock:
            running = ("RUNNING", "STOPPING")
            return next(
                (one for one in self.instances.values() if one.metadata.token == token and one.status in running), None
            )

    def _make(self, instance: Instance) -> None:
        machine_type = instance.body["machineType"].rpartition("/")[2]
        with self.lock:
            if (broken := self._why_not(machine_type, instance)) is not None:
                self.instances.pop((instance.zone, instance.id), None)
                raise Failed(broken.code, broken.message, broken.status, broken.details)
            if (instance.zone, instance.id) not in self.instances:
                raise Failed("RESOURCE_NOT_FOUND", "deleted while it was made", 404)
            self.take_room(machine_type, instance.zone)
            self._bill(instance, machine_type)
            instance.status = "RUNNING"
            instance.body["lastStartTimestamp"] = now()
            self._schedule_end(instance)
            script = _item(instance.body, "startup-script")
            if self.boots and script:
                self.boot(instance, script)

    def _why_not(self, machine_type: str, instance: Instance) -> Broken | None:
        """Return why an accepted insertion fails."""
        zone = instance.zone
        region = zone.rpartition("-")[0]
        if self.closed:
            return Broken("INTERNAL_ERROR", "closing")
        if region in self.without_quota:
            text = f"Quota 'PREEMPTIBLE_CPUS' exceeded.  Limit: 0.0 in region {region}."
            return Broken("QUOTA_EXCEEDED", text, status=403)
        others = [one for one in self.instances.values() if one is not instance and one.status not in _STOPPED]
        types = [(one.body["machineType"].rpartition("/")[2], one.zone) for one in others]
        if (over := too_much(self.world, zone, machine_type, types)) is not None:
            return Broken("QUOTA_EXCEEDED", over[0], status=403, details=over[1])
        if not self.room(machine_type, zone):
            text = f"The zone '{zone}' does not have enough resources available to fulfill the request."
            return Broken("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", text)
        planned = next((one for one in self.broken if one.times > 0), None)
        if planned is not None:
            planned.times -= 1
        return planned

    def _bill(self, instance: Instance, machine_type: str) -> None:
        if self._prices is None:
            self._prices = spot_prices(self.world)
        self.ledger.open("machine", instance.id, self._prices.get((machine_type, instance.zone), 0.0))
        if instance.body["networkInterfaces"][0].get("accessConfigs"):
            self.ledger.open("ip", instance.id, list_prices.IP_USD_H, of=instance.id)
        asked = instance.boot_disk["initializeParams"]
        gib = int(asked["diskSizeGb"])
        self.ledger.open("disk", instance.id, gib * list_prices.DISK_USD_GIB_MONTH / _HOURS_A_MONTH, of=instance.id)
        self.disks[instance.zone, instance.id] = {
            "name": instance.id,
            "sizeGb": str(gib),
            "labels": asked.get("labels", {}),
            "users": [resource(self.world.project, instance.zone, "instances", instance.id)],
            "creationTimestamp": now(),
        }

    def _schedule_end(self, instance: Instance) -> None:
        """Schedule the service's own deadline for the instance."""
        scheduling = instance.body["scheduling"]
        if "terminationTime" in scheduling:
            left_s = datetime.fromisoformat(scheduling["terminationTime"]).timestamp() - datetime.now(UTC).timestamp()
        elif "maxRunDuration" in scheduling:
            left_s = float(scheduling["maxRunDuration"]["seconds"])
        else:
            return
        instance.end = self.after(left_s, lambda: self._end_of(instance))

    def _end_of(self, instance: Instance) -> None:
        """Execute the instance termination action."""
        if instance.body["scheduling"].get("instanceTerminationAction") == "DELETE":
            self._remove(instance)
            return
        self._cut(instance)
        with self.lock:
            instance.status = "TERMINATED"

    def _remove(self, instance: Instance) -> None:
        self._cut(instance)
        with self.lock:
            self.instances.pop((instance.zone, instance.id), None)
            if instance.end is not None:
                instance.end.cancel()
            if (disk := self.disks.get((instance.zone, instance.id))) is not None:
                disk["users"] = []
                if instance.boot_disk.get("autoDelete"):
                    self._drop_disk(instance.zone, instance.id)

    def _cut(self, instance: Instance) -> None:
        if instance.computer is not None:
            instance.computer.cut_power()
        self.ledger.close("machine", instance.id)
        self.ledger.close("ip", instance.id)

    def _drop_disk(self, zone: str, name: str) -> None:
        with self.lock:
            self.disks.pop((zone, name), None)
        self.ledger.close("disk", name)


def _item(body: dict[str, Any], key: str) -> str:
    items = body.get("metadata", {}).get("items", [])
    return next((str(item["value"]) for item in items if item["key"] == key), "")
