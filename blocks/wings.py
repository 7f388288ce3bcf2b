"""Every wing of the house, one line each; a new cloud is one line here."""

from __future__ import annotations

from importlib import import_module

from prefect.blocks.core import Block

from blocks.access import PrefectAccess
from blocks.cloud import Cloud
from blocks.rclone import RcloneRemote

WINGS: dict[str, tuple[str, str]] = {
    "local": ("blocks.local.block", "LocalCloud"),
}


def wing(kind: str) -> type[Cloud]:
    """The block class of a cloud, e.g. of 'local'. Raises ValueError for an unknown one."""
    if kind not in WINGS:
        raise ValueError(f"clouds: there is no cloud '{kind}'; choose among {', '.join(WINGS)}")
    module, name = WINGS[kind]
    found: type[Cloud] = getattr(import_module(module), name)
    return found


def block_types() -> list[type[Block]]:
    """All of ours; importing them is what lets `Block.load` find them."""
    return [*(wing(kind) for kind in WINGS), RcloneRemote, PrefectAccess]


def register_all() -> None:
    """Make every block type known to the Prefect API, so that the UI offers its form; safe to repeat.

    From synchronous code: where an event loop runs, Prefect would only hand out coroutines.
    """
    for block_type in block_types():
        block_type.register_type_and_schema()
