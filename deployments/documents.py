"""Update of block documents with a folder of the home after the home was moved (deployments/earlier_home.py)."""

from __future__ import annotations

from pathlib import Path

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.home import absolute
from spotwave.blocks.load import Unusable, load, names_of
from spotwave.deployments.home import Home
from spotwave.deployments.report import Report


def follow_move(home: Home, client: SyncPrefectClient, report: Report) -> None:
    """Change folders below the home's old path in block documents to the new path.

    Safe to repeat; the note of the move is removed last.
    """
    if not home.moved_from.exists():
        return
    # Imported here: a usual `up` does not need them.
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
            except Unusable as error:  # its fields were not valid before the move either
                report(f"{document} cannot be read ({error}): if it has a folder in {old}, change it to {home.path}")
                continue
            place = new_path(getattr(block, field), old, home.path)
            if place is not None:
                setattr(block, field, place)
                block.save(name, overwrite=True)
                report(f"{document}: now {place}")
    home.moved_from.unlink()


def new_path(named: str | None, old: Path, new: Path) -> str | None:
    """Return the folder's new path; None if it is not below the old path or not a folder on this computer."""
    if named is None or "://" in named or not named.startswith(("/", "~")):
        return None
    folder = absolute(named)
    return str(new / folder.relative_to(old)) if folder.is_relative_to(old) else None
