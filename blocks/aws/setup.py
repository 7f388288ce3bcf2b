"""Settings of the block that apply to every machine, and the names and tags of its resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DISTRIBUTIONS = ("ubuntu-24.04", "al2023")
TAGGED = ("instance", "volume", "network-interface", "spot-instances-request")  #: resources that a launch creates


@dataclass(frozen=True)
class Setup:
    """The block's settings for machines; `AwsCloud` describes the fields."""

    image: str = "ubuntu-24.04"
    instance_profile: str = "spotwave-machine"
    subnets: list[str] = field(default_factory=list)
    template: str | None = None  #: replaces node/boot/bootstrap.sh


def secret_name(job_key: str) -> str:
    """Return the name of the job's secret; the policies in deployments/policies only allow `spotwave/*`."""
    return f"spotwave/{job_key}"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the format of Amazon's APIs."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}


def own_images(image: str) -> list[str]:
    """Return the AMI ids in the field, [] for a distribution. Raises ValueError for anything else."""
    names = [name.strip() for name in image.split(",") if name.strip()]
    if names and all(name.startswith("ami-") for name in names):
        return names
    if image not in DISTRIBUTIONS:
        raise ValueError(
            f"image: '{image}' is not valid; use one of {', '.join(DISTRIBUTIONS)}, or ids such as 'ami-1, ami-2'"
        )
    return []
