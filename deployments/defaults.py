"""The block documents a newcomer starts with, all named `here`; created if absent, never overwritten."""

from __future__ import annotations

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient

from blocks.access import PrefectAccess
from blocks.local.block import LocalCloud
from blocks.rclone import RcloneRemote
from deployments.home import Home

NAME = "here"


def create_default_blocks(home: Home, client: SyncPrefectClient) -> None:
    """Save `local-cloud/here`, `rclone-remote/here` and `prefect-access/here` where there is none."""
    # The local cloud names no folder: two computers that share an API each have their own.
    defaults: list[Block] = [LocalCloud(), RcloneRemote(path=str(home.remote)), PrefectAccess()]
    for block in defaults:
        slug = block.get_block_type_slug()
        present = {d.name for d in client.read_block_documents_by_type(slug, include_secrets=False)}
        if NAME not in present:
            block.save(NAME)
