"""The default block documents for new users; created if missing, never overwritten."""

from __future__ import annotations

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.azure.block import AzureCloud
from spotwave.blocks.budget import Budget
from spotwave.blocks.load import names_of
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.rclone import RcloneRemote
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.deployments.home import Home

NAME = "here"
PUBLIC = "public"


def create_default_blocks(home: Home, client: SyncPrefectClient) -> None:
    """Save the default documents that do not exist yet.

    These are `local-cloud/here`, `rclone-remote/here`, `prefect-access/here`, `snapshot-store/here`, `budget/here`
    (without limits) and `azure-cloud/public`. Azure is the one cloud whose prices can be read without an account.
    """
    # The local cloud has no folder set: two computers that share an API each use their own.
    defaults: list[tuple[str, Block]] = [
        (NAME, LocalCloud()),
        (NAME, RcloneRemote(path=str(home.remote))),
        (NAME, PrefectAccess()),
        (NAME, SnapshotStore(url=str(home.store))),
        (NAME, Budget()),
        (PUBLIC, AzureCloud()),
    ]
    for name, block in defaults:
        if name not in names_of(client, block.get_block_type_slug()):
            block.save(name)
