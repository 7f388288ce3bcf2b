"""What the block settles for every machine, and how its things are named and tagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DISTRIBUTIONS = ("ubuntu-24.04", "al2023")
TAGGED = ("instance", "volume", "network-interface", "spot-instances-request")  #: what a launch makes


@dataclass(frozen=True)
class Setup:
    """The block's settings for machines, as `AwsCloud` describes them."""

    image: str = "ubuntu-24.04"
    instance_profile: str = "spotwave-machine"
    subnets: list[str] = field(default_factory=list)
    template: str | None = None  #: in place of node/boot/bootstrap.sh


def secret_name(job_key: str) -> str:
    """The job's secret; the policies in deployments/policies allow no names but `spotwave/*`."""
    return f"spotwave/{job_key}"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as Amazon's services spell them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_dict(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in tags or []}


def own_images(image: str) -> list[str]:
    """The ids in the field, [] for a distribution. Raises ValueError for what is neither."""
    names = [name.strip() for name in image.split(",") if name.strip()]
    if names and all(name.startswith("ami-") for name in names):
        return names
    if image not in DISTRIBUTIONS:
        raise ValueError(
            f"image: '{image}' is none; write one of {', '.join(DISTRIBUTIONS)}, or ids such as 'ami-1, ami-2'"
        )
    return []
