"""EC2's calls for machines: parses parameters and filters, and serializes answers, like the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.emulators.aws_account import Account
from tests.emulators.aws_answers import NAMESPACE, NotAllowed, fragment, xml
from tests.emulators.aws_fleet import Fleet
from tests.emulators.aws_things import Thing

Row = dict[str, Any]
KINDS = {
    "DescribeVolumes": ("disk", "Volumes"),
    "DescribeNetworkInterfaces": ("nic", "NetworkInterfaces"),
    "DescribeSpotInstanceRequests": ("spot request", "SpotInstanceRequests"),
}
# Field of a row for each filter name.
FIELDS = {
    "image-id": "ImageId",
    "subnet-id": "SubnetId",
    "default-for-az": "DefaultForAz",
    "instance-id": "InstanceId",
    "client-token": "ClientToken",
    "state": "State",
    "spot-instance-request-id": "SpotInstanceRequestId",
}


def nested(form: Mapping[str, str]) -> Row:
    """Parse `Tag.1.Key=a` to {"Tag": [{"Key": "a"}]}."""
    found: Row = {}
    for name, value in form.items():
        *path, last = name.split(".")
        place = found
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value

    def listed(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        if all(name.isdigit() for name in part):
            return [listed(part[name]) for name in sorted(part, key=int)]
        return {name: listed(one) for name, one in part.items()}

    return {name: listed(part) for name, part in found.items()}


class Ec2:
    def __init__(self, account: Account, fleet: Fleet) -> None:
        self._account = account
        self._fleet = fleet
        self.actions: dict[str, Callable[[str, Row], bytes]] = {
            "RunInstances": self._run,
            "DescribeInstances": self._instances,
            "TerminateInstances": self._terminate,
            "DescribeImages": lambda region, asked: _listed(asked, "Images", self._account.images[region]),
            "DescribeSubnets": lambda region, asked: _listed(asked, "Subnets", self._account.subnets[region]),
            **dict.fromkeys(KINDS, self._things),
            "CancelSpotInstanceRequests": self._cancel,
            "DeleteVolume": lambda region, asked: self._delete("disk", region, asked, "VolumeId", "InvalidVolume"),
            "DeleteNetworkInterface": lambda region, asked: self._delete(
                "nic", region, asked, "NetworkInterfaceId", "InvalidNetworkInterfaceID"
            ),
        }

    def _run(self, region: str, asked: Row) -> bytes:
        made = self._fleet.run(region, {name: part for name, part in asked.items() if name not in _COMMON})
        rows = [fragment("RunInstances", "Instances", self._fleet.row(one)) for one in made]
        return xml("RunInstances", "Instances", rows)

    def _instances(self, region: str, asked: Row) -> bytes:
        for id_ in asked.get("InstanceId", []):
            self._fleet.known(region, id_)
        found = [
            one
            for one in self._fleet.listed(region)
            if one.id in asked.get("InstanceId", [one.id]) and _meets(asked, one.row, one.tags, {"State": one.state})
        ]
        action, member = asked["Action"], "Reservations"
        rows = [fragment(action, member, {"Instances": [self._fleet.row(one)]}) for one in found]
        return xml(action, member, rows, "")

    def _terminate(self, region: str, asked: Row) -> bytes:
        action, member = asked["Action"], "TerminatingInstances"
        rows = self._fleet.terminate(region, asked["InstanceId"])
        return xml(action, member, [fragment(action, member, row) for row in rows])

    def _things(self, region: str, asked: Row) -> bytes:
        kind, member = KINDS[asked["Action"]]
        found = [thing for thing in self._fleet.of_kind(kind, region) if _meets(asked, thing.row, thing.tags, {})]
        rows = [fragment(asked["Action"], member, _told(thing)) for thing in found]
        return xml(asked["Action"], member, rows, "")

    def _cancel(self, region: str, asked: Row) -> bytes:
        action, member = asked["Action"], "CancelledSpotInstanceRequests"
        for id_ in asked["SpotInstanceRequestId"]:
            self._fleet.delete("spot request", region, id_, "InvalidSpotInstanceRequestID.NotFound")
        rows = [{"SpotInstanceRequestId": id_, "State": "cancelled"} for id_ in asked["SpotInstanceRequestId"]]
        return xml(action, member, [fragment(action, member, row) for row in rows])

    def _delete(self, kind: str, region: str, asked: Row, id_: str, missing: str) -> bytes:
        self._fleet.delete(kind, region, asked[id_], f"{missing}.NotFound")
        action = asked["Action"]
        return f'<{action}Response xmlns="{NAMESPACE}"><return>true</return></{action}Response>'.encode()


_COMMON = ("Action", "Version")


def _listed(asked: Row, member: str, rows: list[Row]) -> bytes:
    found = [row for row in rows if _meets(asked, row, {}, {})]
    return xml(asked["Action"], member, [fragment(asked["Action"], member, row) for row in found], "")


def _told(thing: Thing) -> Row:
    tags = [{"Key": key, "Value": value} for key, value in thing.tags.items()]
    return {**thing.row, "TagSet" if thing.kind == "nic" else "Tags": tags}


def _meets(asked: Row, row: Row, tags: Mapping[str, str], more: Row) -> bool:
    """Whether the row matches every filter. Raises NotAllowed for an unknown filter."""
    for one in asked.get("Filter", []):
        name, values = one["Name"], one["Value"]
        if name == "tag-key":
            met = any(key in values for key in tags)
        elif name.startswith("tag:"):
            met = tags.get(name.removeprefix("tag:")) in values
        elif name == "instance-state-name":
            met = more["State"] in values
        elif name == "status":  # for a volume it is the state
            met = row.get("Status", row.get("State")) in values
        elif name in FIELDS and FIELDS[name] in row:
            said = row[FIELDS[name]]
            met = (str(said).lower() if isinstance(said, bool) else said) in values
        else:
            raise NotAllowed("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not met:
            return False
    return True
