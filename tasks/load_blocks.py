"""Blocks by name: parameters name documents, and steps load them where needed, so that no secret is passed along."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.budget import Budget
from spotwave.blocks.cloud import Cloud
from spotwave.blocks.load import Unusable, load, names_of
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.registry import WINGS, block_type
from spotwave.blocks.snapshots import SnapshotStore

B = TypeVar("B", bound=Block)

# Prefect's own rule for names. Prefect puts them into URLs unescaped: '?', '#' and '..' would change the request.
_DOCUMENT = re.compile(r"[a-z0-9-]{1,255}")


class NoSuchBlock(ValueError):
    """A parameter names a block document that does not exist or is of another kind; the message has the remedy."""


def load_cloud(name: str) -> Cloud:
    """Load a Cloud block by its document name. Raises NoSuchBlock."""
    return _load(name, Cloud, "clouds")  # type: ignore[type-abstract]


def load_remote(name: str) -> RcloneRemote:
    """Load an rclone remote block by its document name. Raises NoSuchBlock."""
    return _load(name, RcloneRemote, "remote")


def load_access(name: str) -> PrefectAccess:
    """Load a Prefect access block by its document name. Raises NoSuchBlock."""
    return _load(name, PrefectAccess, "access")


def load_budget(name: str) -> Budget:
    """Load a Budget block by its document name. Raises NoSuchBlock."""
    return _load(name, Budget, "budget")


def load_store(name: str) -> SnapshotStore:
    """Load a snapshot store block by its document name. Raises NoSuchBlock."""
    return _load(name, SnapshotStore, "store")


def _load(name: str, kind: type[B], parameter: str) -> B:
    remedy = "Create it under Blocks in the UI, or name one that `prefect block ls` shows as '<type>/<name>'."
    slug, slash, document = name.partition("/")
    if not slash or not _DOCUMENT.fullmatch(document):
        raise NoSuchBlock(f"{parameter}: {name[:100]!r} is not of the form '<block type>/<document>'. {remedy}")
    # Loaded by class: Block.load(name) first imports every installed Prefect integration, which takes seconds.
    found = block_type(slug)
    if found is None or not issubclass(found, kind):
        raise NoSuchBlock(f"{parameter}: '{name}' is not a block of type {kind.__name__}. {remedy}")
    try:
        return load(found, document)
    except Unusable as error:
        raise NoSuchBlock(f"{parameter}: the block '{name}' cannot be used: {error}") from error
    except ValueError as error:  # what Prefect raises for an unknown document
        raise NoSuchBlock(f"{parameter}: there is no block '{name}'. {remedy}") from error


@dataclass(frozen=True)
class Clouds:
    """The saved Cloud blocks by name ('<block type>/<document>'), and why others cannot be used."""

    usable: dict[str, Cloud]
    broken: dict[str, str]

    @property
    def has_market(self) -> dict[str, Cloud]:
        """Return one block per kind that has a market, since a kind's snapshots must always be of the same account.
        Blocks with an account come first, then the first by name."""
        found: dict[str, tuple[str, Cloud]] = {}
        for name, cloud in sorted(self.usable.items(), key=lambda item: (not item[1].has_account, item[0])):
            if cloud.has_market:
                found.setdefault(cloud.kind, (name, cloud))
        return dict(found.values())


def all_clouds() -> Clouds:
    """Load every saved Cloud block. A broken one must not hide the others, whose machines are billed."""
    usable: dict[str, Cloud] = {}
    broken: dict[str, str] = {}
    with get_client(sync_client=True) as client:
        for slug, _, _ in WINGS.values():
            for name in (f"{slug}/{saved}" for saved in names_of(client, slug)):
                try:
                    usable[name] = load_cloud(name)
                except NoSuchBlock as error:
                    broken[name] = str(error)
    return Clouds(usable, broken)
