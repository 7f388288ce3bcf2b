"""What a drill may cost at most, told before anything is launched; the ceiling then holds for every machine of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.models import HOURS_A_MONTH, InterruptionMethod, Requirements
from spotwave.tasks.load_blocks import NoSuchBlock, load_cloud, load_store
from spotwave.tasks.market.fetch_prices import market_now

POOLS = 10  # the cheapest: where one has no machine, the next may
SLACK = 1.1  # prices move while the user reads
LEAST_GIB = 2.0  # for the operating system, the worker and the engine
BOOTS_MINUTES = 10.0  # for both boots, as a rule
WAIT_S = 300.0  # beyond what the cloud allows itself, until a machine gives up waiting


class NoDrill(ValueError):
    """There can be no drill; one line that names the parameter and the remedy."""


@dataclass(frozen=True)
class DrillEstimate:
    """The dearest case of one cloud's drill."""

    cloud: str  #: the document
    machine: str  #: the offer that is tried first
    minutes: float  #: for all machines together; no machine outlives it
    max_usd_h: float  #: the dearest spot price that is taken, USD/h
    beside_usd_h: float  #: boot disk and public address, USD/h
    interruption_method: InterruptionMethod

    @property
    def machines_usd(self) -> float:
        """Machines follow each other, so the time is paid for once, however many there are."""
        return (self.max_usd_h + self.beside_usd_h) * self.minutes / 60

    @property
    def usd(self) -> float:
        """With what the interruption itself costs."""
        return self.machines_usd + self.interruption_method.usd

    def capped(self, usd_h: float) -> DrillEstimate:
        """With another ceiling of the spot price, what the user was told. Raises NoDrill."""
        if not 0 <= usd_h < float("inf"):
            raise NoDrill(f"max_usd_h: {usd_h:g} is no price; give USD per hour, or leave it empty")
        return replace(self, max_usd_h=usd_h)

    @property
    def wait_s(self) -> float:
        """How long a machine waits for its interruption; seconds."""
        return self.interruption_method.within_s + WAIT_S

    @property
    def requirements(self) -> Requirements:
        return smallest().model_copy(update={"max_usd_h": self.max_usd_h})

    @property
    def line(self) -> str:
        """For people."""
        usd = self.interruption_method.usd
        forced = f", {usd:.2f} USD for the interruption" if usd else ""
        return (
            f"{self.cloud}: {self.usd:.4f} USD at most: {self.minutes:g} minutes of machines, one after the other, at "
            f"up to {self.max_usd_h:.4f} USD/h, {self.beside_usd_h:.4f} USD/h for disk and address{forced}; "
            f"first {self.machine}; the machine is {self.interruption_method.how}"
        )


def smallest() -> Requirements:
    """Of a machine that only counts."""
    return Requirements(min_memory_gib=LEAST_GIB)


def estimate(cloud: str, minutes: float, store: str) -> DrillEstimate:
    """cloud, store: documents. Asks the cloud for its prices. Raises NoDrill."""
    try:
        block, shelf = load_cloud(cloud), load_store(store)
    except NoSuchBlock as error:
        raise NoDrill(str(error)) from error
    if not block.has_account:
        raise NoDrill(f"cloud: '{cloud}' has no account to rent machines in; add credentials to the block")
    least = block.interruption_method.within_s / 60 + BOOTS_MINUTES
    if not least <= minutes <= 600:  # also true for NaN
        raise NoDrill(f"minutes: {minutes:g} is out of range. Give {least:.0f} to 600 on '{cloud}'; 60 is usual.")
    try:
        market = market_now(block, shelf)
    except MarketUnavailable as error:
        raise NoDrill(f"cloud: '{cloud}' gives no prices: {error}") from error
    wanted = smallest()
    cheapest = market.eligible(wanted).frame.sort("spot_usd_h", "vcpus", "region", "zone", "instance_type").head(POOLS)
    if cheapest.is_empty():
        raise NoDrill(f"cloud: '{cloud}' offers no machine with {LEAST_GIB:g} GiB; check its regions")
    beside = pl.col("ip_usd_h") + pl.col("disk_usd_gib_month") * wanted.disk_gib / HOURS_A_MONTH
    first = cheapest.row(0, named=True)
    return DrillEstimate(
        cloud=cloud,
        machine=f"{first['instance_type']} in {first['zone'] or first['region']}",
        minutes=minutes,
        max_usd_h=_most(cheapest, pl.col("spot_usd_h")) * SLACK,
        beside_usd_h=_most(cheapest, beside),
        interruption_method=block.interruption_method,
    )


def _most(frame: pl.DataFrame, what: pl.Expr) -> float:
    return float(frame.select(what.max()).item())
