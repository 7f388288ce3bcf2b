"""Boot image of a machine by architecture: Ubuntu, another marketplace image, or the user's own."""

from __future__ import annotations

from typing import Any

from spotwave.blocks.models import Architecture

# Both are of generation 2 and tagged for NVMe, which sizes from v6 on require.
UBUNTU: dict[Architecture, str] = {
    "x86_64": "Canonical:ubuntu-24_04-lts:server:latest",
    "arm64": "Canonical:ubuntu-24_04-lts:server-arm64:latest",
}
_KINDS = (
    "/providers/microsoft.compute/images/",
    "/providers/microsoft.compute/galleries/",
    "/communitygalleries/",
    "/sharedgalleries/",
)


def checked(image: str) -> str:
    """Return the image. Raises ValueError if it is not a valid image."""
    low = image.lower()
    if not image or (low.startswith("/") and any(kind in low for kind in _KINDS)):
        return image
    parts = image.split(":")
    if len(parts) != 4 or not all(parts):
        raise ValueError(
            f"'{image}' is not an image: use publisher:offer:sku:version, or the resource ID of an image, a gallery"
            " image or one of its versions"
        )
    return image


def images_of(x86_64: str, arm64: str) -> dict[Architecture, str]:
    """Return the images by architecture. An image set for one architecture excludes the other, since the user's image
    may contain software that Ubuntu's lacks."""
    if not x86_64 and not arm64:
        return UBUNTU
    own: dict[Architecture, str] = {"x86_64": x86_64, "arm64": arm64}
    return {architecture: image for architecture, image in own.items() if image}


def reference(image: str) -> dict[str, Any]:
    """Return the `imageReference` of a VM."""
    if image.lower().startswith("/communitygalleries/"):
        return {"communityGalleryImageId": image}
    if image.lower().startswith("/sharedgalleries/"):
        return {"sharedGalleryImageId": image}
    if image.startswith("/"):
        return {"id": image}
    publisher, offer, sku, version = image.split(":")
    return {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
