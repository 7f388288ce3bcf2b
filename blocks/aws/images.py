"""The image of a machine: the newest of a distribution by its public parameter, or images of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.refusals import code_behind
from spotwave.blocks.aws.setup import own_images
from spotwave.blocks.errors import LaunchRefused, Misconfigured, Quota, Unfit
from spotwave.blocks.models import Architecture

# Systems Manager, public parameters: https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images and
# https://docs.aws.amazon.com/linux/al2023/ug/ec2.html. In every region, one of each architecture.
_PARAMETERS = {
    "ubuntu-24.04": "/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",
    "al2023": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}",
}
_LOOKS = 3  # botocore takes an answer that was cut short for one that says nothing
_SPELLED = {"ubuntu-24.04": {"x86_64": "amd64"}, "al2023": {}}


@dataclass(frozen=True)
class Image:
    id: str
    root: str  #: its root device, e.g. /dev/sda1
    disks: dict[str, int]  #: GiB of every disk that comes with it, the root's too, by device

    @classmethod
    def of(cls, row: dict[str, Any]) -> Image:
        """Of a row of DescribeImages."""
        disks = {
            one["DeviceName"]: int(one["Ebs"].get("VolumeSize", 1))
            for one in row.get("BlockDeviceMappings", [])
            if "Ebs" in one
        }
        return cls(row["ImageId"], row["RootDeviceName"], disks)


def image_for(clients: Clients, region: str, architecture: Architecture, image: str) -> Image:
    """The image to launch. Raises a LaunchRefused."""
    own = own_images(image)
    ids = own or [_newest(clients, region, architecture, image)]
    # By filter: an id of another region would fail the call for all.
    rows = clients.listed(
        "ec2",
        region,
        "describe_images",
        "Images",
        Filters=[{"Name": "image-id", "Values": ids}],
        IncludeDeprecated=True,
    )
    if not rows:
        if own:
            raise Quota(
                f"aws {region}: image: none of {image} is in this region; copy one there, or name regions",
                "region",
                lasting=True,
            )
        raise Misconfigured(f"aws {region}: image: {ids[0]} cannot be described; allow ec2:DescribeImages")
    fitting = [row for row in rows if row.get("Architecture") == architecture]
    if not fitting:
        raise Unfit(f"aws {region}: image: none of {image} is for {architecture}; add one")
    return Image.of(max(fitting, key=lambda row: str(row.get("CreationDate", ""))))


def _newest(clients: Clients, region: str, architecture: Architecture, image: str) -> str:
    name = _PARAMETERS[image].format(arch=_SPELLED[image].get(architecture, architecture))
    try:
        for _ in range(_LOOKS):
            answer = clients.call("ssm", region, "get_parameter", Name=name)
            if "Value" in answer.get("Parameter", {}):
                return str(answer["Parameter"]["Value"])
        raise Misconfigured(f"aws {region}: image: the parameter of {image} cannot be read; name an ami-... id")
    except LaunchRefused as refused:
        if code_behind(refused) == "ParameterNotFound":
            raise Quota(
                f"aws {region}: image: {image} is not published here; name an ami-... id", "region", lasting=True
            ) from refused
        raise
