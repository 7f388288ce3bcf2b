"""Every wing of the house, one line each; a new cloud is one line here."""

from __future__ import annotations

from importlib import import_module

from prefect.blocks.core import Block

from spotwave.blocks.cloud import Cloud

# kind: (slug of its block type, module, class). Imported when needed: a cloud's SDK takes seconds.
WINGS: dict[str, tuple[str, str, str]] = {
    "local": ("local-cloud", "spotwave.blocks.local.block", "LocalCloud"),
    "aws": ("aws-cloud", "spotwave.blocks.aws.block", "AwsCloud"),
    "gcp": ("gcp-cloud", "spotwave.blocks.gcp.block", "GcpCloud"),
    "azure": ("azure-cloud", "spotwave.blocks.azure.block", "AzureCloud"),
}
# The block types that are no clouds: slug: (module, class).
_OTHERS: dict[str, tuple[str, str]] = {
    "rclone-remote": ("spotwave.blocks.rclone", "RcloneRemote"),
    "prefect-access": ("spotwave.blocks.access", "PrefectAccess"),
    "snapshot-store": ("spotwave.blocks.snapshots", "SnapshotStore"),
    "budget": ("spotwave.blocks.budget", "Budget"),
    "azure-compute-credentials": ("spotwave.blocks.azure.credentials", "AzureCredentials"),
}


def wing(kind: str) -> type[Cloud]:
    """The block class of a cloud, e.g. of 'local'. Raises ValueError for an unknown one."""
    if kind not in WINGS:
        raise ValueError(f"clouds: there is no cloud '{kind}'; choose among {', '.join(WINGS)}")
    _, module, name = WINGS[kind]
    found: type[Cloud] = getattr(import_module(module), name)
    return found


def block_type(slug: str) -> type[Block] | None:
    """Our block class of that slug, e.g. of 'aws-cloud', or None. Imports no other wing."""
    for kind, (its_slug, _, _) in WINGS.items():
        if its_slug == slug:
            return wing(kind)
    if slug not in _OTHERS:
        return None
    module, name = _OTHERS[slug]
    found: type[Block] = getattr(import_module(module), name)
    return found


def block_types() -> list[type[Block]]:
    """All of ours."""
    slugs = [slug for slug, _, _ in WINGS.values()] + list(_OTHERS)
    return [found for slug in slugs if (found := block_type(slug)) is not None]


def register_all() -> None:
    """Make every block type known to the Prefect API, so that the UI offers its form; safe to repeat.

    From synchronous code: where an event loop runs, Prefect would only hand out coroutines.
    """
    for found in block_types():
        found.register_type_and_schema()
