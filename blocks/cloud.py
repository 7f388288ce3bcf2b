"""Interface that every cloud provider (`blocks/<cloud>/`) implements, so that callers need not know the cloud."""

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
    """A provider of machines. Choose one of the concrete types: Local Cloud, AWS Cloud, ..."""

    _block_type_name = "Cloud"
    _block_type_slug = "cloud"
    model_config = ConfigDict(hide_input_in_errors=True)  # the input may contain credentials
    _block_schema_capabilities: ClassVar[list[str]] = ["cloud"]  # type: ignore[misc]

    kind: ClassVar[str]  #: value of `Offer.cloud`
    has_market: ClassVar[bool] = True  #: has changing prices: snapshots are kept, and a pool that failed is avoided
    least_billed_s: ClassVar[float] = 0.0  #: minimum billed time of a machine; beyond it billing is per second
    tells_end_late: ClassVar[bool] = False  #: `billed_until` may return an end only minutes after it happened

    def fingerprint(self) -> str:
        """Return a hash of the block's settings without its secrets; keeps data read with other settings apart."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def catalogue(self, tell: OnProgress = no_progress) -> Catalogue:
        """Return the part of `market` that changes at most daily: types, list prices, interruption tables.

        Raises `MarketUnavailable`. `tell` is called with the progress, from any thread.
        """
        return Catalogue()

    @property
    def has_account(self) -> bool:
        """Whether the block acts for an account. A block without one can still read public price lists."""
        return True

    @abstractmethod
    def market(self, catalogue: Catalogue | None = None, tell: OnProgress = no_progress) -> Market:
        """Return all current spot offers of this cloud. Pass today's catalogue to avoid reading it again.

        A region that fails is left out and listed in the market's `missing`. Raises `MarketUnavailable` if no region
        answers, or if the cloud cannot be called at all (credentials).
        """

    def interruptions(self, offers: Sequence[Offer]) -> dict[tuple[str, str, str], Rate]:
        """Return interruption rates by pool for a few leading offers, if the cloud has one call per pool for this.

        Returns {} if there is no such call or it fails: the rates then stay unknown."""
        return {}

    @abstractmethod
    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start all `count` machines of an attempt in one zone, or none; idempotent by (job key, attempt, offer).

        brief: of node 0, with `brief.brief.nodes == count`. Returns the machines in the order of their node index.
        Writes the job's secret first if the cloud has a secret manager. A refused launch leaves nothing that bills,
        however many machines had been created by then. Raises a `LaunchRefused`; ValueError for another count.
        """

    @classmethod
    def quotas_of(cls, offer: Offer) -> Mapping[str, float]:
        """Return how much of each quota a machine of this offer uses (vCPUs, GPUs, machines), by the cloud's name of
        the quota. Makes no call; {} if the quotas are unknown."""
        return {}

    def quota_room(self, offers: Sequence[Offer]) -> list[QuotaRoom]:
        """Return the remaining quota of the account for these few offers, with few calls. Unknown quotas are left out;
        raises nothing."""
        return []

    @abstractmethod
    def find(self, job_key: str | None = None) -> list[Machine]:
        """Return every machine created by Spotwave (for this job, or all) that may still bill, in every region, found
        by its tags."""

    @abstractmethod
    def state(self, machine: Machine) -> MachineState:
        """Return the current state in the cloud. Raises `Throttled` or another `LaunchRefused` if the call fails."""

    @abstractmethod
    def terminate(self, machine: Machine) -> None:
        """Delete the machine and everything that bills with it. Safe to repeat; returns when nothing of it runs."""

    def prices_held(self, machine: Machine, until: datetime) -> list[tuple[datetime, float]]:
        """Return the prices that this machine was billed at, as (from when, USD/h), oldest first, starting at launch.

        The default is the launch price, for clouds where a running machine keeps its price. Raises a `LaunchRefused`.
        """
        return [(machine.launched_at, machine.offer.spot_usd_h)]

    def billed_until(self, machine: Machine) -> datetime | None:
        """Return when the machine stopped billing, if the cloud reports it for deleted machines.

        None: it does not report it, or (`tells_end_late`) not yet. Raises a `LaunchRefused`.
        """
        return None

    @property
    def is_local(self) -> bool:
        """Whether its machines run on this computer, and so reach its folders and loopback addresses."""
        return False

    def leftovers(self, job_key: str | None = None) -> list[Leftover]:
        """Return resources other than machines that Spotwave created (for this job, or all), found by their tags in
        every region: secrets, and disks, addresses, interfaces and spot requests that no running machine uses.

        Raises a `LaunchRefused`."""
        return []

    def remove(self, leftover: Leftover) -> None:
        """Delete the resource; safe to repeat. Raises a `LaunchRefused`."""

    def check(self) -> Iterator[Finding]:
        """Check everything that a launch needs, without launching: credentials, regions, quota, role, network, image,
        secrets. Yields findings one by one; raises nothing."""
        yield from ()

    @property
    def interruption_method(self) -> InterruptionMethod:
        """Description of `force_interruption` on this cloud; makes no call."""
        return InterruptionMethod("terminated by Spotwave, without notice", notice=False, within_s=300.0)

    def force_interruption(self, machine: Machine) -> None:
        """Interrupt the machine as `interruption_method` describes; safe to repeat. Raises a `LaunchRefused`."""
        self.terminate(machine)

    def lacks_program(self, executable: str) -> str | None:
        """Return why a program is not on this cloud's image; None if it is, or if only the machine can tell."""
        return None


@dataclass(frozen=True)
class Catalogue:
    """The part of a cloud's market that rarely changes: provider-specific tables, and what could not be read."""

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)  #: as in `Market.dropped`
    missing: Mapping[str, str] = field(default_factory=dict)  #: as in `Market.missing`
