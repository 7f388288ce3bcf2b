"""The maximum cost of a drill, shown before anything is launched; it then caps every machine of the drill."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.models import HOURS_A_MONTH, InterruptionMethod, Requirements
from spotwave.tasks.load_blocks import NoSuchBlock, load_cloud, load_store
from spotwave.tasks.market.fetch_prices import market_now

POOLS = 10  # number of cheapest pools: if one has no capacity, the next may
SLACK = 1.1  # prices may change while the user decides
LEAST_GIB = 2.0  # for the operating system, the worker and the engine
BOOTS_MINUTES = 10.0  # usual time for both boots
WAIT_S = 300.0  # how long a machine waits beyond the cloud's own limit for the interruption


class NoDrill(ValueError):
    """No drill is possible; the message is one line that names the parameter and the remedy."""


@dataclass(frozen=True)
class DrillEstimate:
    """The most expensive case of a drill on one cloud."""

    cloud: str  #: the document
    machine: str  #: the first offer to try
    minutes: float  #: time limit for all machines together
    max_usd_h: float  #: the highest accepted spot price, USD/h
    beside_usd_h: float  #: boot disk and public address, USD/h
    interruption_method: InterruptionMethod

    @property
    def machines_usd(self) -> float:
        """Return the cost of the machines. They run one after another, so the time is paid only once."""
        return (self.max_usd_h + self.beside_usd_h) * self.minutes / 60

    @property
    def usd(self) -> float:
        """Return the total cost, including that of the interruption itself."""
        return self.machines_usd + self.interruption_method.usd

    def capped(self, usd_h: float) -> DrillEstimate:
        """Return the estimate with the user's limit on the spot price. Raises NoDrill."""
        if not 0 <= usd_h < float("inf"):
            raise NoDrill(f"max_usd_h: {usd_h:g} is not a valid price; give USD per hour, or leave it empty")
        return replace(self, max_usd_h=usd_h)

    @property
    def wait_s(self) -> float:
        """Return how long a machine waits for its interruption; seconds."""
        return self.interruption_method.within_s + WAIT_S

    @property
    def requirements(self) -> Requirements:
        return smallest().model_copy(update={"max_usd_h": self.max_usd_h})

    @property
    def line(self) -> str:
        """Return the estimate in one line for the user."""
        usd = self.interruption_method.usd
        forced = f", {usd:.2f} USD for the interruption" if usd else ""
        return (
            f"{self.cloud}: {self.usd:.4f} USD at most: {self.minutes:g} minutes of machines, one after the other, at "
            f"up to {self.max_usd_h:.4f} USD/h, {self.beside_usd_h:.4f} USD/h for disk and address{forced}; "
            f"first {self.machine}; the machine is {self.interruption_method.how}"
        )


def smallest() -> Requirements:
    """Return the requirements of the drill's machine, which only counts."""
    return Requirements(min_memory_gib=LEAST_GIB)


def estimate(cloud: str, minutes: float, store: str) -> DrillEstimate:
    """Estimate a drill from the cloud's current prices. cloud, store: documents. Raises NoDrill."""
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
        raise NoDrill(f"cloud: '{cloud}' returned no prices: {error}") from error
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
