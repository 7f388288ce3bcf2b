"""Image of a machine: the newest of a distribution, by its public parameter, or one of the user's own images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.refusals import code_behind
from spotwave.blocks.aws.setup import own_images
from spotwave.blocks.errors import LaunchRefused, Misconfigured, Quota, Unfit
from spotwave.blocks.models import Architecture

# Systems Manager, public parameters: https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images and
# https://docs.aws.amazon.com/linux/al2023/ug/ec2.html. Available in every region, one per architecture.
_PARAMETERS = {
    "ubuntu-24.04": "/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",
    "al2023": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}",
}
_LOOKS = 3  # attempts: botocore returns a truncated answer as an empty one
_SPELLED = {"ubuntu-24.04": {"x86_64": "amd64"}, "al2023": {}}


@dataclass(frozen=True)
class Image:
    id: str
    root: str  #: its root device, e.g. /dev/sda1
    disks: dict[str, int]  #: GiB of every disk of the image, including the root's, by device

    @classmethod
    def of(cls, row: dict[str, Any]) -> Image:
        """Build it from a row of DescribeImages."""
        disks = {
            one["DeviceName"]: int(one["Ebs"].get("VolumeSize", 1))
            for one in row.get("BlockDeviceMappings", [])
            if "Ebs" in one
        }
        return cls(row["ImageId"], row["RootDeviceName"], disks)


def image_for(clients: Clients, region: str, architecture: Architecture, image: str) -> Image:
    """Return the image to launch. Raises a LaunchRefused."""
    own = own_images(image)
    ids = own or [_newest(clients, region, architecture, image)]
    # With a filter, since an id of another region in ImageIds would fail the whole call.
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
                f"aws {region}: image: none of {image} is in this region; copy one there, or set the block's regions",
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
        raise Misconfigured(f"aws {region}: image: the parameter of {image} cannot be read; use an ami-... id")
    except LaunchRefused as refused:
        if code_behind(refused) == "ParameterNotFound":
            raise Quota(
                f"aws {region}: image: {image} is not published here; use an ami-... id", "region", lasting=True
            ) from refused
        raise
