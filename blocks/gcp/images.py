"""Boot image of a machine by architecture, and the boot disk type by machine series."""

from __future__ import annotations

from spotwave.blocks.errors import Unfit
from spotwave.blocks.models import Architecture

#: Public images by the name in the block's field `image` (Compute Engine docs, Operating system details).
KNOWN: dict[str, dict[Architecture, str]] = {
    "ubuntu-24.04": {
        "x86_64": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
        "arm64": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64",
    },
    "debian-12": {
        "x86_64": "projects/debian-cloud/global/images/family/debian-12",
        "arm64": "projects/debian-cloud/global/images/family/debian-12-arm64",
    },
}
_ORIGIN = "https://www.googleapis.com/compute/v1/"

# Series that only boot from Hyperdisk (Compute Engine docs, Machine series comparison); all others use the balanced
# persistent disk. A launch with the wrong one fails permanently.
_HYPERDISK = ("a3-ultragpu-", "a4", "c4", "g4-", "h4d-", "m4", "n4", "x4-")


def checked(image: str) -> str:
    """Return the image's path from 'projects/' on, or its known name. Raises ValueError."""
    text = image.strip().removeprefix(_ORIGIN)
    if text in KNOWN or (text.startswith("projects/") and "/global/images/" in text):
        return text
    raise ValueError(
        f"image: '{image}' is not valid; use {' or '.join(map(repr, KNOWN))}, "
        "'projects/PROJECT/global/images/NAME' or 'projects/PROJECT/global/images/family/FAMILY'"
    )


def image_of(image: str, image_arm64: str | None, architecture: Architecture) -> str:
    """Return the path of the image for an architecture. Raises Unfit if the block has none for it."""
    named = (image_arm64 or image) if architecture == "arm64" else image
    if named in KNOWN:
        return KNOWN[named][architecture]
    if architecture == "arm64" and not image_arm64:
        raise Unfit("there is no image for arm64; fill in 'Image for arm64' in the GCP Cloud block")
    return named


def disk_type_of(instance_type: str) -> str:
    """Return the cheapest boot disk type that is fast enough."""
    hyperdisk = instance_type.startswith(_HYPERDISK) or instance_type.endswith("-metal")
    return "hyperdisk-balanced" if hyperdisk else "pd-balanced"
