"""Blocks by name: parameters name documents, and steps load them where they are needed, so that no secret travels."""

from __future__ import annotations

from typing import TypeVar

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client

from blocks.access import PrefectAccess
from blocks.cloud import Cloud
from blocks.rclone import RcloneRemote
from blocks.snapshots import SnapshotStore
from blocks.wings import WINGS, block_type

B = TypeVar("B", bound=Block)


class NoSuchBlock(ValueError):
    """A parameter names a block document that does not exist or is of another kind; the message has the remedy."""


def load_cloud(name: str) -> Cloud:
    """Raises NoSuchBlock."""
    return _load(name, Cloud, "clouds")  # type: ignore[type-abstract]


def load_remote(name: str) -> RcloneRemote:
    """Raises NoSuchBlock."""
    return _load(name, RcloneRemote, "remote")


def load_access(name: str) -> PrefectAccess:
    """Raises NoSuchBlock."""
    return _load(name, PrefectAccess, "access")


def load_store(name: str) -> SnapshotStore:
    """Raises NoSuchBlock."""
    return _load(name, SnapshotStore, "store")


def _load(name: str, kind: type[B], parameter: str) -> B:
    remedy = "Make it under Blocks in the UI, or name one that `prefect block ls` shows as '<type>/<name>'."
    slug, slash, document = name.partition("/")
    if not slash or not document or "/" in document:
        raise NoSuchBlock(f"{parameter}: '{name}' is not of the form '<block type>/<document>'. {remedy}")
    # By its class: Block.load(name) first imports every installed Prefect integration, seconds of them.
    found = block_type(slug)
    if found is None or not issubclass(found, kind):
        raise NoSuchBlock(f"{parameter}: '{name}' is no {kind.__name__}. {remedy}")
    try:
        block = found.load(document)
    except ValueError as error:  # what Prefect raises for an unknown document
        raise NoSuchBlock(f"{parameter}: there is no block '{name}'. {remedy}") from error
    assert isinstance(block, kind)  # not a coroutine: this is no async context
    return block


def rented_clouds() -> dict[str, Cloud]:
    """Those of `all_clouds` that have a market."""
    return {name: cloud for name, cloud in all_clouds().items() if cloud.rented}


def all_clouds() -> dict[str, Cloud]:
    """Every saved Cloud block, by its name '<block type>/<document>'."""
    found: dict[str, Cloud] = {}
    with get_client(sync_client=True) as client:
        for slug, _, _ in WINGS.values():
            for document in client.read_block_documents_by_type(slug, include_secrets=False):
                if document.name is not None:
                    found[f"{slug}/{document.name}"] = load_cloud(f"{slug}/{document.name}")
    return found
