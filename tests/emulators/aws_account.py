"""Resources of an emulated account that exist before a launch: subnets, images, roles, quotas, identity.

Systems Manager, Service Quotas (JSON), IAM and STS (query protocol, each answer in a Result) for boto3.
"""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from tests.emulators.aws_answers import JSON, NotAllowed
from tests.emulators.aws_quotas import CODES, PLENTY
from tests.emulators.aws_world import World
from tests.emulators.server import Response

NUMBER = "123456789012"
PROFILE = "spotwave-machine"
_DISTRIBUTIONS = {
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id": ("ubuntu-24.04", "x86_64"),
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id": ("ubuntu-24.04", "arm64"),
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64": ("al2023", "x86_64"),
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64": ("al2023", "arm64"),
}
_ROOTS = {"ubuntu-24.04": "/dev/sda1", "al2023": "/dev/xvda"}
IN_A_RESULT = {"GetCallerIdentity", "GetInstanceProfile", "GetRole"}


def ami(region: str, distribution: str, architecture: str) -> str:
    """Return the id of a public image, which differs between regions."""
    return f"ami-{crc32(f'{region} {distribution} {architecture}'.encode()):017x}"


def image_row(id_: str, architecture: str, root: str = "/dev/sda1", gib: int = 8, **changes: Any) -> dict[str, Any]:
    """Return a row of DescribeImages."""
    disk = {"DeviceName": root, "Ebs": {"VolumeSize": gib, "DeleteOnTermination": True, "VolumeType": "gp3"}}
    row = {
        "ImageId": id_,
        "Architecture": architecture,
        "RootDeviceName": root,
        "State": "available",
        "CreationDate": "2026-01-01T00:00:00.000Z",
        "BlockDeviceMappings": [disk, {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}],
    }
    return {**row, **changes}


class Account:
    """Tests may change all attributes."""

    def __init__(self, world: World) -> None:
        self.profiles = {PROFILE}
        self.has_used_spot = True
        self.quota_vcpus = dict.fromkeys(world.regions, PLENTY)  #: for spot, of the standard types
        self.class_vcpus: dict[tuple[str, str], int] = {}  #: of other classes, by region and class; default PLENTY
        self.closed: dict[str, str] = {}  #: regions denied by a policy of the organization, and the policy's ARN
        self.unready_profile = 0  #: number of calls for which the instance profile is still unknown
        self.subnets: dict[str, list[dict[str, Any]]] = {
            region: [
                {
                    "SubnetId": f"subnet-{crc32(zone['ZoneName'].encode()):017x}",
                    "VpcId": f"vpc-{crc32(region.encode()):017x}",
                    "AvailabilityZone": zone["ZoneName"],
                    "AvailableIpAddressCount": 4091,
                    "DefaultForAz": True,
                    "MapPublicIpOnLaunch": True,
                    "State": "available",
                }
                for zone in zones
                if zone["ZoneType"] == "availability-zone"
            ]
            for region, zones in world.zones.items()
        }
        self.images: dict[str, list[dict[str, Any]]] = {
            region: [
                image_row(ami(region, name, architecture), architecture, _ROOTS[name])
                for name, architecture in _DISTRIBUTIONS.values()
            ]
            for region in world.regions
        }

    def in_a_result(self, action: str, form: dict[str, str]) -> Response:
        """Answer a call of IAM or STS."""
        if action == "GetCallerIdentity":
            said = f"<Account>{NUMBER}</Account><Arn>arn:aws:iam::{NUMBER}:user/spotwave</Arn><UserId>AIDA</UserId>"
        elif action == "GetInstanceProfile":
            said = self._profile(form["InstanceProfileName"])
        else:
            said = self._role(form["RoleName"])
        body = f"<{action}Response><{action}Result>{said}</{action}Result></{action}Response>"
        return Response(body.encode(), content_type="text/xml")

    def _profile(self, name: str) -> str:
        if name not in self.profiles:
            raise NotAllowed("NoSuchEntity", f"Instance Profile {name} cannot be found.", 404)
        role = f"<member><RoleName>{name}</RoleName><Arn>arn:aws:iam::{NUMBER}:role/{name}</Arn></member>"
        return (
            f"<InstanceProfile><InstanceProfileName>{name}</InstanceProfileName><Roles>{role}</Roles></InstanceProfile>"
        )

    def _role(self, name: str) -> str:
        if name != "AWSServiceRoleForEC2Spot" or not self.has_used_spot:
            raise NotAllowed("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
        return f"<Role><RoleName>{name}</RoleName></Role>"

    def parameter(self, region: str, asked: dict[str, Any]) -> Response:
        """Answer GetParameter of Systems Manager; only public parameters exist."""
        if asked["Name"] not in _DISTRIBUTIONS:
            raise NotAllowed("ParameterNotFound", "")
        value = ami(region, *_DISTRIBUTIONS[asked["Name"]])
        return _json({"Parameter": {"Name": asked["Name"], "Type": "String", "Value": value, "Version": 1}})

    def quota(self, region: str, asked: dict[str, Any]) -> Response:
        if asked["ServiceCode"] != "ec2" or asked["QuotaCode"] not in CODES:
            raise NotAllowed("NoSuchResourceException", "")
        limit = self.spot_vcpus(region, CODES[asked["QuotaCode"]])
        return _json({"Quota": {"QuotaCode": asked["QuotaCode"], "Value": float(limit)}})

    def spot_vcpus(self, region: str, class_: str) -> int:
        """Return the quota of a class of types in a region."""
        return self.quota_vcpus[region] if class_ == "Standard" else self.class_vcpus.get((region, class_), PLENTY)


def _json(said: dict[str, Any]) -> Response:
    return Response(json.dumps(said).encode(), content_type=JSON)
