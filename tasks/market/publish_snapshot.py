"""Step: fetch one cloud's market, validate it, and publish it; if a check fails, keep the last snapshot."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import polars as pl
from prefect import task
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.market import Market
from spotwave.blocks.snapshots import Snapshot, SnapshotStore, yesterday
from spotwave.tasks.load_blocks import load_cloud, load_store
from spotwave.tasks.market.fetch_prices import market_now
from spotwave.tasks.market.quality_gate import judged

LOG_S = 5.0  # interval of the progress log


class Published(BaseModel):
    """The result for one cloud."""

    model_config = ConfigDict(frozen=True)

    cloud: str  #: its kind
    fresh: bool  #: whether a new snapshot was published
    why: str | None = None  #: if not fresh: the reason
    remarks: list[str] = []
    offers: int = 0  #: in the current snapshot
    taken_at: datetime | None = None  #: time of that snapshot; None: there is none
    seconds: float = 0.0  #: duration of the fetch
    dropped: dict[str, int] = {}
    missing: dict[str, str] = {}

    @property
    def line(self) -> str:
        """Return the result in one line."""
        if self.fresh:
            return f"{self.cloud}: {self.offers} offers, fresh"
        kept = (
            f"the snapshot of {self.taken_at:%Y-%m-%d %H:%M} UTC is kept" if self.taken_at else "there is no snapshot"
        )
        return f"{self.cloud}: {kept}; {self.why}"


@task(name="publish", task_run_name="publish {cloud}")
def publish(cloud: str, store: str, accept: list[str]) -> Published:
    """Fetch the market of a Cloud document, validate it, and publish the snapshot if no check fails.

    accept: kinds of clouds whose mass changes a user has reviewed and accepts as real. A cloud that does not answer is
    not an error: the result reports it, and its last snapshot is kept. Raises StoreUnavailable.
    """
    block = load_cloud(cloud)
    shelf = load_store(store)
    log = get_run_logger()
    begun = time.monotonic()
    newest = shelf.latest(block.kind)
    try:
        market = market_now(block, shelf, _Progress(block.kind))
    except MarketUnavailable as error:
        log.error(str(error))
        return _kept(block.kind, shelf, newest, str(error), begun)
    now = datetime.now(UTC)
    before = shelf.read(newest) if newest is not None else None
    verdict = judged(market, before, now, block.kind in accept)
    for remark in verdict.remarks:
        log.warning("%s: %s", block.kind, remark)
    for place, why in market.missing.items():
        log.warning("%s: %s", place, why)
    if verdict.objections:
        why = f"held back: {'; '.join(verdict.objections)}"
        if len(market):
            why += f". If the market has really changed, run prices/now with accept = ['{block.kind}']"
        log.error("%s: %s", block.kind, why)
        return _kept(block.kind, shelf, newest, why, begun)
    seconds = time.monotonic() - begun
    published = shelf.publish(block.kind, market, {"seconds": round(seconds, 3), "remarks": verdict.remarks}, now)
    log.info("%s: %d offers in %.1f s, published as %s", block.kind, len(market), seconds, published.path)
    return Published(
        cloud=block.kind,
        fresh=True,
        remarks=verdict.remarks,
        offers=len(market),
        taken_at=published.taken_at,
        seconds=seconds,
        dropped=market.dropped,
        missing=market.missing,
    )


def current(published: list[Published], store: SnapshotStore) -> Market:
    """Return the newest snapshots of these clouds as one market. Raises StoreUnavailable."""
    newest = [store.latest(one.cloud) for one in published]
    return Market.merged(store.read(one) for one in newest if one is not None)


def earlier(published: list[Published], store: SnapshotStore, now: datetime) -> Market:
    """Return the last snapshots from before this UTC day, at most a week old. Raises StoreUnavailable."""
    found = [store.latest(one.cloud, before=yesterday(now)) for one in published]
    return Market.merged(store.read(one) for one in found if one is not None and now - one.taken_at < timedelta(days=8))


def _kept(kind: str, store: SnapshotStore, newest: Snapshot | None, why: str, begun: float) -> Published:
    offers = len(store.read(newest)) if newest is not None else 0
    return Published(
        cloud=kind,
        fresh=False,
        why=why,
        offers=offers,
        taken_at=newest.taken_at if newest is not None else None,
        seconds=time.monotonic() - begun,
    )


class _Progress:
    """Logs the progress of a fetch every `LOG_S` seconds."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._log = get_run_logger()
        self._next = time.monotonic() + LOG_S

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOG_S
            self._log.info("%s: %d of %d calls answered", self._kind, done, total)


def rows_by_region(market: Market) -> pl.DataFrame:
    """Return columns cloud, region, offers, sorted by cloud and region."""
    return market.frame.group_by("cloud", "region").agg(offers=pl.len()).sort("cloud", "region")
