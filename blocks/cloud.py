"""The contract of every wing (`blocks/<cloud>/`): what a cloud can do. No step needs to know which cloud it has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import ClassVar

import polars as pl
from prefect.blocks.core import Block
from pydantic import ConfigDict

from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.interruption import Rate
from spotwave.blocks.market import Market
from spotwave.blocks.models import (
    Finding,
    InterruptionMethod,
    LaunchBrief,
    Leftover,
    Machine,
    MachineState,
    Offer,
)
from spotwave.blocks.quota_room import QuotaRoom


class Cloud(Block, ABC):
    """A place that rents machines. Choose one of its kinds: Local Cloud, ..."""

    _block_type_name = "Cloud"
    _block_type_slug = "cloud"
    model_config = ConfigDict(hide_input_in_errors=True)  # credentials may be among it
    _block_schema_capabilities: ClassVar[list[str]] = ["cloud"]  # type: ignore[misc]

    kind: ClassVar[str]  #: the word in `Offer.cloud`
    has_market: ClassVar[bool] = True  #: from a market whose prices are kept, and whose pools are avoided after a loss
    least_billed_s: ClassVar[float] = 0.0  #: a machine that lived for less is billed for so long; then by the second
    tells_end_late: ClassVar[bool] = False  #: `billed_until` may come to know an end only minutes after it

    def fingerprint(self) -> str:
        """Of the block's settings, without its secrets: what was read through one document is not another's."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def catalogue(self, tell: OnProgress = no_progress) -> Catalogue:
        """What `market` needs and what changes once a day at most: types, list prices, interruption tables.

        Raises `MarketUnavailable`. `tell` hears of the progress, from any thread.
        """
        return Catalogue()

    @property
    def has_account(self) -> bool:
        """Whether the block acts for an account; without one it may still know a public price list."""
        return True

    @abstractmethod
    def market(self, catalogue: Catalogue | None = None, tell: OnProgress = no_progress) -> Market:
        """Every spot offer of this cloud now; a catalogue of today spares reading it again.

        A region that fails is named in the market's `missing` and left out. Raises `MarketUnavailable` if none
        answers, or if the cloud cannot be asked at all (credentials).
        """

    def interruptions(self, offers: Sequence[Offer]) -> dict[tuple[str, str, str], Rate]:
        """How often, by pool, for a few leading offers, where that takes a call for each; {} if there is no such
        call or it fails: an unknown stays unknown."""
        return {}

    @abstractmethod
    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start all `count` machines of an attempt in one zone, or none; idempotent by (job key, attempt, offer).

        brief: of node 0, with `brief.brief.nodes == count`. Returns the machines in the order of their node index.
        Writes the job's secret first, where the cloud has a secret manager. Leaves nothing that bills when it is
        refused, however many had been created by then. Raises a `LaunchRefused`; ValueError for another count.
        """

    @classmethod
    def quotas_of(cls, offer: Offer) -> Mapping[str, float]:
        """What a machine of that offer takes of each quota that it may be counted against, by the name that the cloud
        has for it: vCPUs, GPUs, machines. Asks nobody; {}: nothing is known of quotas."""
        return {}

    def quota_room(self, offers: Sequence[Offer]) -> list[QuotaRoom]:
        """What the account may have of the quotas that these few offers count against, in few calls; what is not told
        is left out, and nothing is raised."""
        return []

    @abstractmethod
    def find(self, job_key: str | None = None) -> list[Machine]:
        """Every machine of ours (of this job, or all) that may still bill, in every region, by its tags."""

    @abstractmethod
    def state(self, machine: Machine) -> MachineState:
        """What the cloud says now. Raises `Throttled` or another `LaunchRefused` where it cannot be asked."""

    @abstractmethod
    def terminate(self, machine: Machine) -> None:
        """Remove the machine and all that bills with it; safe to repeat; returns when nothing of it runs."""

    def prices_held(self, machine: Machine, until: datetime) -> list[tuple[datetime, float]]:
        """What the machine itself was billed at, as (from when, USD/h), the first from its launch on, oldest first.

        Here the price of the launch: right where a running machine keeps its price. Raises a `LaunchRefused`.
        """
        return [(machine.launched_at, machine.offer.spot_usd_h)]

    def billed_until(self, machine: Machine) -> datetime | None:
        """When the machine ceased to bill, where the cloud tells it of what is gone. Raises a `LaunchRefused`.

        None: it does not tell, or (`tells_end_late`) not yet.
        """
        return None

    @property
    def is_local(self) -> bool:
        """Whether its machines run on this computer, and so reach its folders and its loopback addresses."""
        return False

    def leftovers(self, job_key: str | None = None) -> list[Leftover]:
        """What is ours (of this job, or all) beside machines: secrets, and disks, addresses, interfaces and spot
        requests that no living machine uses; in every region, by their tags. Raises a `LaunchRefused`."""
        return []

    def remove(self, leftover: Leftover) -> None:
        """Delete it; safe to repeat. Raises a `LaunchRefused`."""

    def check(self) -> Iterator[Finding]:
        """Everything that a launch needs, looked at without launching: credentials, regions, quota, role, network,
        image, secrets. Findings come one by one; raises nothing."""
        yield from ()

    @property
    def interruption_method(self) -> InterruptionMethod:
        """What `force_interruption` does on this cloud; asks nobody."""
        return InterruptionMethod("terminated by us, without a notice", notice=False, within_s=300.0)

    def force_interruption(self, machine: Machine) -> None:
        """Have the cloud take the machine back, as `interruption_method` says; safe to repeat. Raises a
        `LaunchRefused`."""
        self.terminate(machine)

    def lacks_program(self, executable: str) -> str | None:
        """Why a program is not on this cloud's image, or None if it is there or only the machine can tell."""
        return None


@dataclass(frozen=True)
class Catalogue:
    """The slow-moving half of a cloud's market: tables of the wing's own, and what could not be read of them."""

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)  #: as in `Market.dropped`
    missing: Mapping[str, str] = field(default_factory=dict)  #: as in `Market.missing`
