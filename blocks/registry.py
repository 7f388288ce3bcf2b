"""Registry of cloud providers and other block types; a new cloud is one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Prefect takes two seconds to import, and many commands need only the clouds' names
    from prefect.blocks.core import Block

    from spotwave.blocks.cloud import Cloud

# kind: (slug of its block type, module, class). Imported on demand: a cloud's SDK takes seconds to import.
WINGS: dict[str, tuple[str, str, str]] = {
    "local": ("local-cloud", "spotwave.blocks.local.block", "LocalCloud"),
    "aws": ("aws-cloud", "spotwave.blocks.aws.block", "AwsCloud"),
    "gcp": ("gcp-cloud", "spotwave.blocks.gcp.block", "GcpCloud"),
    "azure": ("azure-cloud", "spotwave.blocks.azure.block", "AzureCloud"),
}
# Block types other than clouds: slug: (module, class).
_OTHERS: dict[str, tuple[str, str]] = {
    "rclone-remote": ("spotwave.blocks.rclone", "RcloneRemote"),
    "prefect-access": ("spotwave.blocks.access", "PrefectAccess"),
    "snapshot-store": ("spotwave.blocks.snapshots", "SnapshotStore"),
    "budget": ("spotwave.blocks.budget", "Budget"),
    "azure-compute-credentials": ("spotwave.blocks.azure.credentials", "AzureCredentials"),
}


def wing(kind: str) -> type[Cloud]:
    """Return the block class of a cloud, e.g. 'local'. Raises ValueError for an unknown one."""
    if kind not in WINGS:
        raise ValueError(f"clouds: there is no cloud '{kind}'; choose among {', '.join(WINGS)}")
    _, module, name = WINGS[kind]
    found: type[Cloud] = getattr(import_module(module), name)
    return found


def block_type(slug: str) -> type[Block] | None:
    """Return Spotwave's block class with that slug, e.g. 'aws-cloud', or None. Imports no other provider."""
    for kind, (its_slug, _, _) in WINGS.items():
        if its_slug == slug:
            return wing(kind)
    if slug not in _OTHERS:
        return None
    module, name = _OTHERS[slug]
    found: type[Block] = getattr(import_module(module), name)
    return found


def block_types() -> list[type[Block]]:
    """Return all block classes of Spotwave."""
    slugs = [slug for slug, _, _ in WINGS.values()] + list(_OTHERS)
    return [found for slug in slugs if (found := block_type(slug)) is not None]


def register_all() -> None:
    """Register every block type with the Prefect API, so that the UI shows its form; safe to repeat.

    Call it from synchronous code: inside an event loop Prefect would only return coroutines.
    """
    for found in block_types():
        found.register_type_and_schema()
