"""The machines of ours on every configured cloud, for `ls` and for what `down` leaves running."""

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
    """A machine, the cloud it is on, and what that cloud says of it."""

    cloud: Cloud
    machine: Machine
    state: MachineState

    def hours(self, now: datetime | None = None) -> float:
        """How old the machine is."""
        return ((now or datetime.now(UTC)) - self.machine.launched_at).total_seconds() / 3600


@dataclass(frozen=True)
class Silent:
    """A configured cloud that could not be asked: machines may run there unseen."""

    block: str
    reason: str


def find_all(client: SyncPrefectClient, leave_out: str = "") -> Iterator[Found | Silent]:
    """Every machine of ours on every cloud that has a block, but for clouds of the kind `leave_out`.

    A cloud that refuses to answer is reported, not passed over.
    """
    for kind, (slug, _, _) in WINGS.items():
        if kind == leave_out:
            continue
        for name in names_of(client, slug):
            yield from _machines_of(wing(kind), slug, name)


def _machines_of(block_type: type[Cloud], slug: str, name: str) -> Iterator[Found | Silent]:
    try:
        cloud = load(block_type, name)
    except Unusable as error:  # told, for its machines bill
        yield Silent(f"{slug}/{name}", str(error))
        return
    try:
        for machine in cloud.find():
            yield Found(cloud, machine, cloud.state(machine))
    except LaunchRefused as refused:
        yield Silent(f"{slug}/{name}", refused.reason)


def as_table(found: list[Found], now: datetime | None = None) -> Table:
    """The listing: machine, job, attempt, where, state, age in hours and minutes, USD per hour with disk and public
    address, and USD so far. Tags are shown as they are, since anyone who may tag a machine can write them."""
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
    """The last line of the listing."""
    usd_h = sum(one.machine.usd_h for one in found)
    usd = sum(one.machine.usd_h * one.hours(now) for one in found)
    return f"{len(found)} machine{'s' if len(found) > 1 else ''}, {usd_h:.4f} USD/h, {usd:.4f} USD so far"
