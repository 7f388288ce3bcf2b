"""Blocks by name: parameters name documents, and steps load them where they are needed, so that no secret travels."""

from __future__ import annotations

from typing import TypeVar

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client

from blocks.access import PrefectAccess
from blocks.cloud import Cloud
from blocks.rclone import RcloneRemote
from blocks.wings import block_types

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


def _load(name: str, kind: type[B], parameter: str) -> B:
    remedy = "Make it under Blocks in the UI, or name one that `prefect block ls` shows as '<type>/<name>'."
    slug, slash, document = name.partition("/")
    if not slash or not document or "/" in document:
        raise NoSuchBlock(f"{parameter}: '{name}' is not of the form '<block type>/<document>'. {remedy}")
    # By its class: Block.load(name) first imports every installed Prefect integration, seconds of them.
    classes = {one.get_block_type_slug(): one for one in block_types()}
    if slug not in classes or not issubclass(classes[slug], kind):
        raise NoSuchBlock(f"{parameter}: '{name}' is no {kind.__name__}. {remedy}")
    try:
        block = classes[slug].load(document)
    except ValueError as error:  # what Prefect raises for an unknown document
        raise NoSuchBlock(f"{parameter}: there is no block '{name}'. {remedy}") from error
    assert isinstance(block, kind)  # not a coroutine: this is no async context
    return block


def all_clouds() -> dict[str, Cloud]:
    """Every saved Cloud block, by its name '<block type>/<document>'."""
    found: dict[str, Cloud] = {}
    with get_client(sync_client=True) as client:
        for block_type in block_types():
            if not issubclass(block_type, Cloud):
                continue
            slug = block_type.get_block_type_slug()
            for document in client.read_block_documents_by_type(slug, include_secrets=False):
                if document.name is not None:
                    found[f"{slug}/{document.name}"] = load_cloud(f"{slug}/{document.name}")
    return found
