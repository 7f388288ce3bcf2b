"""Checks of EC2 before it launches an instance, and its errors."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from tests.emulators.aws_account import NUMBER, Account
from tests.emulators.aws_answers import NotAllowed
from tests.emulators.aws_quotas import class_of
from tests.emulators.aws_world import World

MAX_USER_DATA = 16_384


def denied_by(region: str, policy: str, action: str = "ec2:RunInstances") -> str:
    """Return the message of a denial by the organization's policy in a region; since 2026 with the policy's ARN.
    Source: IAM User Guide, "Troubleshoot access denied error messages"; aws/karpenter-provider-aws#7370.
    """
    resource = f"arn:aws:ec2:{region}:{NUMBER}:instance/*"
    return (
        f"You are not authorized to perform this operation. User: arn:aws:iam::{NUMBER}:user/spotwave is not "
        f"authorized to perform: {action} on resource: {resource} with an explicit deny in a service control policy"
        f"{f': {policy}' if policy else ''}. Encoded authorization failure message: {'g4oZPBqZ4Bni8d' * 9}"
    )


class Admission:
    def __init__(self, world: World, account: Account) -> None:
        self._world, self._account = world, account

    def zone_for(self, region: str, asked: dict[str, Any], room: Callable[[str, str], int], vcpus_in_use: int) -> str:
        """Return the zone of the instance. Raises NotAllowed; also DryRunOperation for a successful dry run."""
        if region in self._account.closed:
            raise NotAllowed("UnauthorizedOperation", denied_by(region, self._account.closed[region]), 403)
        name = asked["InstanceType"]
        shape = self._world.types.get(name)
        if shape is None:
            raise NotAllowed("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
        image = self.image(region, asked["ImageId"])
        fits = shape["ProcessorInfo"]["SupportedArchitectures"]
        if image["Architecture"] not in fits:
            raise NotAllowed(
                "InvalidParameterValue",
                f"The architecture '{','.join(fits)}' of the specified instance type does not match the architecture "
                f"'{image['Architecture']}' of the specified AMI.",
            )
        if len(base64.b64decode(asked.get("UserData", ""))) > MAX_USER_DATA:
            raise NotAllowed("InvalidParameterValue", "User data is limited to 16384 bytes")
        profile = asked.get("IamInstanceProfile", {}).get("Name")
        # A new one is visible to IAM at once, and to EC2 within a minute (hashicorp/terraform-provider-aws#27516).
        self._account.unready_profile -= 1
        if profile is not None and (profile not in self._account.profiles or self._account.unready_profile >= 0):
            raise NotAllowed(
                "InvalidParameterValue",
                f"Value ({profile}) for parameter iamInstanceProfile.name is invalid. "
                "Invalid IAM Instance Profile name",
            )
        for disk in asked.get("BlockDeviceMapping", []):
            smallest = next(
                (o["Ebs"]["VolumeSize"] for o in image["BlockDeviceMappings"] if o["DeviceName"] == disk["DeviceName"]),
                0,
            )
            if int(disk["Ebs"]["VolumeSize"]) < smallest:
                raise NotAllowed("InvalidBlockDeviceMapping", "Volume is smaller than snapshot")
        for tagged in asked.get("TagSpecification", []):
            if len(tagged["Tag"]) > 50 or any(len(tag["Value"]) > 256 for tag in tagged["Tag"]):
                raise NotAllowed("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
        zone = self._zone(region, asked)
        if asked.get("DryRun") == "true":
            raise NotAllowed("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if name not in self._world.offered[region] or "spot" not in shape["SupportedUsageClasses"]:
            raise NotAllowed("Unsupported", "Your requested instance type is not supported in your requested zone")
        if room(name, zone) < int(asked["MinCount"]):
            raise NotAllowed(
                "InsufficientInstanceCapacity", f"We do not have sufficient {name} capacity in {zone}", 500
            )
        if vcpus_in_use + int(asked["MinCount"]) * shape["VCpuInfo"]["DefaultVCpus"] > self._account.spot_vcpus(
            region, class_of(name)
        ):
            raise NotAllowed("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        return zone

    def image(self, region: str, id_: str) -> dict[str, Any]:
        for row in self._account.images[region]:
            if row["ImageId"] == id_:
                return row
        raise NotAllowed("InvalidAMIID.NotFound", f"The image id '[{id_}]' does not exist")

    def _zone(self, region: str, asked: dict[str, Any]) -> str:
        subnets, id_ = self._account.subnets[region], asked.get("SubnetId")
        if id_ is None:
            wanted = asked.get("Placement", {}).get("AvailabilityZone")
            subnets = [row for row in subnets if row["DefaultForAz"] and wanted in (None, row["AvailabilityZone"])]
            if not subnets:
                raise NotAllowed("VPCIdNotSpecified", "No default VPC for this user")
            return str(subnets[0]["AvailabilityZone"])
        found = [row for row in subnets if row["SubnetId"] == id_]
        if not found:
            raise NotAllowed("InvalidSubnetID.NotFound", f"The subnet ID '{id_}' does not exist")
        return str(found[0]["AvailabilityZone"])
