"""EC2's instances with their disks, interfaces, addresses and spot requests: boot, billing, interruption.

Includes behaviour of the real service that moto lacks: replayed tokens, capacity, quotas, images of the wrong
architecture, instances that are not visible right after their launch, reasons of an end, disks that stay behind.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.emulators.aws_account import PROFILE, Account
from tests.emulators.aws_admission import Admission
from tests.emulators.aws_answers import NotAllowed
from tests.emulators.aws_quotas import class_of
from tests.emulators.aws_things import Thing, Things
from tests.emulators.aws_world import World
from tests.emulators.cloud_init import script_of
from tests.emulators.ledger import Ledger
from tests.emulators.life import EmulatedMachine, Life
from tests.emulators.metadata import AwsMetadata

DISK_USD_GIB_H = 0.08 / 730
IP_USD_H = 0.005
GRACE_S = 2.0  #: between SIGTERM and SIGKILL at a termination
FREE = timedelta(hours=1)  #: an interruption by EC2 within this time is not billed
ENDED = ("shutting-down", "terminated")


@dataclass(kw_only=True)
class Instance(EmulatedMachine):
    metadata: AwsMetadata
    region: str
    zone: str
    asked: dict[str, Any]  #: parameters of its launch, nested
    row: dict[str, Any]  #: for DescribeInstances, without State, StateReason and Tags
    disks: dict[str, bool]  #: ids, and whether they are deleted with it
    nic: str
    request: str | None
    state: str = "pending"
    reason: str = ""
    ended_at: datetime | None = None  #: if ended by its owner or itself; for interruptions EC2 has no time here


class Fleet(Things, Life[Instance]):
    """All instances. Tests set `exhausted`, `unseen` and `boots`, and read `asked`."""

    def __init__(self, world: World, account: Account, boots: bool, folder: Path | None) -> None:
        super().__init__(Ledger(least_s=60.0), boots=boots, folder=folder)
        self.asked: list[dict[str, Any]] = []  #: parameters of every RunInstances, as received
        self.instances: dict[str, Instance] = {}
        self._world = world
        self._admission = Admission(world, account)
        self._tokens: dict[tuple[str, str], tuple[list[str], str]] = {}

    def machine(self, id_: str) -> Instance:
        return self.instances[id_]

    # Calls.

    def run(self, region: str, asked: dict[str, Any]) -> list[Instance]:
        """Execute RunInstances: up to MaxCount, as many as there is room for, or none if that is below MinCount (EC2
        API). Raises NotAllowed.
        """
        with self.lock:
            self.asked.append(asked)
            told = json.dumps({name: part for name, part in asked.items() if name != "DryRun"}, sort_keys=True)
            token, print_ = asked.get("ClientToken", ""), hashlib.sha256(told.encode()).hexdigest()
            if token and (region, token) in self._tokens:
                ids, first = self._tokens[region, token]
                if first != print_:
                    raise NotAllowed(
                        "IdempotentParameterMismatch", "Arguments on this idempotent request are different"
                    )
                return [self.instances[id_] for id_ in ids]
            zone = self._admission.zone_for(region, asked, self.room, self._vcpus(region, asked["InstanceType"]))
            count = min(int(asked["MaxCount"]), self.room(asked["InstanceType"], zone))
            made = [self._make(region, zone, asked, index) for index in range(count)]
            if token:
                self._tokens[region, token] = ([one.id for one in made], print_)
            if self.boots and not self.closed:
                for one in made:
                    self.boot(one, script_of(base64.b64decode(asked.get("UserData", ""))))
                    one.state = "running"
            return made

    def _vcpus(self, region: str, name: str) -> int:
        """Return the vCPUs in use of the class that a type counts against."""
        living = [one for one in self.instances.values() if one.region == region and one.state not in ENDED]
        names = [one.row["InstanceType"] for one in living]
        return sum(
            self._world.types[one]["VCpuInfo"]["DefaultVCpus"] for one in names if class_of(one) == class_of(name)
        )

    def terminate(self, region: str, ids: list[str]) -> list[dict[str, Any]]:
        """Execute TerminateInstances; terminated ones are no error. Raises NotAllowed."""
        with self.lock:
            for id_ in ids:
                self.known(region, id_)
            changed = []
            for id_ in ids:
                one, before = self.instances[id_], self.instances[id_].state
                self._end(one, "Client.UserInitiatedShutdown", GRACE_S)
                state = {"Name": one.state}
                changed.append({"InstanceId": id_, "CurrentState": state, "PreviousState": {"Name": before}})
            return changed

    def known(self, region: str, id_: str) -> Instance:
        """Return the instance. Raises NotAllowed, also for one that is not visible yet."""
        with self.lock:
            one = self.instances.get(id_)
            if one is None or one.region != region or not one.is_seen():
                raise NotAllowed("InvalidInstanceID.NotFound", f"The instance ID '{id_}' does not exist")
            return one

    def listed(self, region: str) -> list[Instance]:
        """Return the visible instances."""
        with self.lock:
            return [one for one in self.instances.values() if one.region == region and one.is_seen()]

    def row(self, one: Instance) -> dict[str, Any]:
        """Return a row of DescribeInstances. The state of an instance without a computer advances with each call."""
        with self.lock:
            reason = {"Code": one.reason, "Message": one.reason} if one.reason else None
            tags = [{"Key": key, "Value": value} for key, value in one.tags.items()]
            said = {**one.row, "State": {"Name": one.state}, "StateReason": reason, "Tags": tags}
            if one.ended_at is not None:
                said["StateTransitionReason"] = f"User initiated ({one.ended_at:%Y-%m-%d %H:%M:%S} GMT)"
            if one.state == "pending":
                one.state = "running"
            elif one.state == "shutting-down" and one.computer is None:
                one.state = "terminated"
            return said

    def reprice(self, id_: str, usd_h: float) -> None:
        """Change the pool's price: in the market, in the history, and in this instance's bill."""
        with self.lock:
            one = self.instances[id_]
            row = next(
                row
                for row in self._world.history[one.region]
                if (row["AvailabilityZone"], row["InstanceType"]) == (one.zone, one.row["InstanceType"])
                and row["ProductDescription"].startswith("Linux/UNIX")
            )
            moved = {**row, "SpotPrice": f"{usd_h:.6f}", "Timestamp": datetime.now(UTC)}
            self._world.history[one.region].append(moved)
            self.ledger.reprice(id_, usd_h)

    # Creation.

    def _make(self, region: str, zone: str, asked: dict[str, Any], index: int) -> Instance:
        def new(prefix: str) -> str:
            return f"{prefix}-{uuid4().hex[:17]}"

        spot = asked.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        tags = {
            one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tag"]}
            for one in asked.get("TagSpecification", [])
        }
        id_, name, nic, request = new("i"), asked["InstanceType"], new("eni"), new("sir") if spot else None
        now = datetime.now(UTC).replace(microsecond=0)
        row = {
            "InstanceId": id_,
            "ImageId": asked["ImageId"],
            "InstanceType": name,
            "LaunchTime": now,
            "Placement": {"AvailabilityZone": zone},
            "ClientToken": asked.get("ClientToken", ""),
            "AmiLaunchIndex": index,
            "InstanceLifecycle": "spot" if spot else None,
            "SpotInstanceRequestId": request,
        }
        role = asked.get("IamInstanceProfile", {}).get("Name")
        metadata = AwsMetadata(
            id_, region=region, zone=zone, instance_type=name, role=PROFILE if role else None, launch_index=index
        )
        made = Instance(
            id=id_,
            tags=dict(tags.get("instance", {})),
            metadata=metadata,
            launched_at=now,
            unseen=self.unseen,
            region=region,
            zone=zone,
            asked=asked,
            row=row,
            disks={},
            nic=nic,
            request=request,
        )
        image = self._admission.image(region, asked["ImageId"])
        mapped = {one["DeviceName"]: one["Ebs"] for one in image["BlockDeviceMappings"] if "Ebs" in one}
        for one in asked.get("BlockDeviceMapping", []):
            mapped[one["DeviceName"]] = {**mapped.get(one["DeviceName"], {}), **one["Ebs"]}
        self.instances[id_] = made
        self.take_room(name, zone)
        self.ledger.open("machine", id_, self._world.spot_usd_h(region, zone, name) if spot else 1000.0)
        for disk in mapped.values():
            volume, gib = new("vol"), int(disk["VolumeSize"])
            made.disks[volume] = str(disk["DeleteOnTermination"]).lower() == "true"
            told = {"VolumeId": volume, "Size": gib, "State": "in-use", "AvailabilityZone": zone, "CreateTime": now}
            self.things[volume] = Thing("disk", region, told, tags.get("volume", {}))
            self.ledger.open("disk", volume, gib * DISK_USD_GIB_H, of=id_)
        told = {"NetworkInterfaceId": nic, "Status": "in-use", "AvailabilityZone": zone}
        self.things[nic] = Thing("nic", region, told, tags.get("network-interface", {}))
        self.ledger.open("nic", nic)
        self.ledger.open("ip", f"ip of {id_}", IP_USD_H, of=id_)
        if request:
            told = {"SpotInstanceRequestId": request, "State": "active", "InstanceId": id_, "CreateTime": now}
            told["Status"] = {"Code": "fulfilled", "UpdateTime": now}
            self.things[request] = Thing("spot request", region, told, tags.get("spot-instances-request", {}))
            self.ledger.open("spot request", request)
        return made

    # Ends.

    def switched_off(self, machine: Instance) -> None:
        """Shut down from inside; the launch parameters determine what follows."""
        with self.lock:
            if machine.state in ENDED:
                return
            machine.reason, machine.ended_at = "Client.InstanceInitiatedShutdown", datetime.now(UTC)
            if machine.asked.get("InstanceInitiatedShutdownBehavior", "stop") == "terminate":
                self._gone(machine)
            else:
                machine.state = "stopped"
                self.ledger.close("machine", machine.id)
                self.ledger.close("ip", f"ip of {machine.id}")

    def take_back(self, machine: Instance) -> None:
        self.lose(machine.id)

    def lose(self, id_: str, reason: str = "Server.SpotInstanceTermination") -> None:
        with self.lock:
            self._end(self.instances[id_], reason, None)

    def _end(self, one: Instance, reason: str, grace_s: float | None) -> None:
        """End an instance. grace_s: None cuts its power."""
        if one.state in ENDED:
            return
        one.state, one.reason = "shutting-down", reason
        self.ledger.close("machine", one.id)  # billed from "running" to "shutting-down"
        if reason.startswith("Server.Spot"):
            if datetime.now(UTC) - one.launched_at < FREE:
                self.ledger.waive(one.id)
            if one.request:
                ended = datetime.now(UTC).replace(microsecond=0)
                status = {"Code": "instance-terminated-no-capacity", "UpdateTime": ended}
                self.things[one.request].row["Status"] = status
        else:
            one.ended_at = datetime.now(UTC)
        computer = one.computer
        if computer is None:
            self._gone(one, "shutting-down")
            return

        def end() -> None:
            if grace_s is None:
                computer.cut_power()
            else:
                computer.shut_down(grace_s)
            self._gone(one)

        threading.Thread(target=end, daemon=True).start()

    def _gone(self, one: Instance, state: str = "terminated") -> None:
        with self.lock:
            one.state = state
            self.ledger.close("machine", one.id)
            self.ledger.close("ip", f"ip of {one.id}")
            self.drop(one.nic)
            for disk, goes_with_it in one.disks.items():
                if goes_with_it:
                    self.drop(disk)
                else:
                    self.things[disk].row["State"] = "available"
            if one.request:
                self.things[one.request].row["State"] = "closed"
                self.ledger.close("spot request", one.request)

    def keys(self, key: str) -> tuple[str, str | None, bool] | None:
        """Return the keys of a running machine's role."""
        with self.lock:
            for one in self.instances.values():
                its = one.metadata.credentials
                if its["AccessKeyId"] == key and one.metadata.role and one.state in ("pending", "running"):
                    return its["SecretAccessKey"], its["Token"], True
            return None
