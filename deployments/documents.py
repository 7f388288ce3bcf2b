"""Block documents that name a folder of the home, after the home has been moved (deployments/earlier_home.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.home import absolute
from spotwave.blocks.load import Unusable, load, names_of
from spotwave.deployments.home import Home

Say = Callable[[str], None]


def follow_move(home: Home, client: SyncPrefectClient, say: Say) -> None:
    """Where a document names a folder below the place that the home was moved from, name it below the home.

    Safe to repeat; the note of the move is removed last.
    """
    if not home.moved_from.exists():
        return
    # Imported here: an `up` as usual does not need them.
    from spotwave.blocks.local.block import LocalCloud
    from spotwave.blocks.rclone import RcloneRemote
    from spotwave.blocks.snapshots import SnapshotStore

    old = Path(home.moved_from.read_text().strip())
    folders: list[tuple[type[Block], str]] = [(RcloneRemote, "path"), (SnapshotStore, "url"), (LocalCloud, "folder")]
    for kind, field in folders:
        for name in names_of(client, kind.get_block_type_slug()):
            document = f"{kind.get_block_type_slug()}/{name}"
            try:
                block = load(kind, name)
            except Unusable as error:  # its fields are not valid, and were not before
                say(f"{document} cannot be read ({error}): if it names a folder in {old}, correct it to {home.path}")
                continue
            place = moved(getattr(block, field), old, home.path)
            if place is not None:
                setattr(block, field, place)
                block.save(name, overwrite=True)
                say(f"{document}: now {place}")
    home.moved_from.unlink()


def moved(named: str | None, old: Path, new: Path) -> str | None:
    """The folder's new place; None if it is not below the old one, or no folder of this computer."""
    if named is None or "://" in named or not named.startswith(("/", "~")):
        return None
    folder = absolute(named)
    return str(new / folder.relative_to(old)) if folder.is_relative_to(old) else None
