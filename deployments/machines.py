"""Spotwave's machines on every configured cloud, for `ls` and for the report of `down`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient
from rich.table import Table
from rich.text import Text

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.load import Unusable, load, names_of
from spotwave.blocks.models import Machine, MachineState
from spotwave.blocks.registry import WINGS, wing
from spotwave.node.untrusted.plain_text import plain


@dataclass(frozen=True)
class Found:
    """A machine, its cloud, and the state that the cloud reports."""

    cloud: Cloud
    machine: Machine
    state: MachineState

    def hours(self, now: datetime | None = None) -> float:
        """Return the machine's age in hours."""
        return ((now or datetime.now(UTC)) - self.machine.launched_at).total_seconds() / 3600


@dataclass(frozen=True)
class Unreachable:
    """A configured cloud that could not be queried, so that running machines there are unknown."""

    block: str
    reason: str


def find_all(client: SyncPrefectClient, leave_out: str = "") -> Iterator[Found | Unreachable]:
    """Yield Spotwave's machines on every cloud that has a block, except clouds of the kind `leave_out`.

    A cloud that cannot be queried is reported, not skipped.
    """
    for kind, (slug, _, _) in WINGS.items():
        if kind == leave_out:
            continue
        for name in names_of(client, slug):
            yield from _machines_of(wing(kind), slug, name)


def _machines_of(block_type: type[Cloud], slug: str, name: str) -> Iterator[Found | Unreachable]:
    try:
        cloud = load(block_type, name)
    except Unusable as error:  # reported, because its machines are billed
        yield Unreachable(f"{slug}/{name}", str(error))
        return
    try:
        for machine in cloud.find():
            yield Found(cloud, machine, cloud.state(machine))
    except LaunchRefused as refused:
        yield Unreachable(f"{slug}/{name}", refused.reason)


def as_table(found: list[Found], now: datetime | None = None) -> Table:
    """Return the table of machines.

    Columns: machine, job, attempt, offer, state, age in hours and minutes, USD per hour including disk and public
    address, USD so far. Tags are shown without markup, because anyone with permission to tag a machine can write them.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "job", "attempt", "on", "state"):
        table.add_column(title)
    table.add_column("age", justify="right")
    table.add_column("USD/h", justify="right")
    table.add_column("USD so far", justify="right")
    for one in found:
        machine = one.machine
        hours = one.hours(now)
        minutes = int(60 * hours)
        table.add_row(
            *(Text(plain(tag)) for tag in (machine.name, machine.job_key, str(machine.attempt), machine.offer.label)),
            one.state.value,
            f"{minutes // 60}:{minutes % 60:02d}",
            f"{machine.usd_h:.4f}",
            f"{machine.usd_h * hours:.4f}",
        )
    return table


def total(found: list[Found], now: datetime | None = None) -> str:
    """Return the last line of the listing."""
    usd_h = sum(one.machine.usd_h for one in found)
    usd = sum(one.machine.usd_h * one.hours(now) for one in found)
    return f"{len(found)} machine{'s' if len(found) > 1 else ''}, {usd_h:.4f} USD/h, {usd:.4f} USD so far"
