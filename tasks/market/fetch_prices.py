"""Step: read the market of every cloud that the job may use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.cloud import Catalogue, Cloud
from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.market import Market
from spotwave.blocks.snapshots import SnapshotStore, StoreUnavailable
from spotwave.tasks.load_blocks import load_cloud, load_store

FRESH_S = 600.0  # prices this young need not be asked for again: spot prices move a few times a day
CATALOGUE_S = 86400.0
INCOMPLETE_S = 600.0  # a catalogue with something missing is not trusted for a day


class NoMarket(RuntimeError):
    """No cloud's market could be read."""


@task(name="fetch_prices", retries=2, retry_delay_seconds=[2, 10])
def fetch_prices(clouds: list[str], store: str) -> Market:
    """The offers of all clouds, at most ten minutes old; a cloud that fails is named and left out.

    clouds: names of Cloud block documents; store: of the SnapshotStore, whose newest snapshots are taken where they
    are young enough. Raises NoMarket if no cloud answers.
    """
    log = get_run_logger()
    shelf = load_store(store)
    blocks = [load_cloud(name) for name in clouds]
    markets: list[Market] = []
    with ThreadPoolExecutor(max_workers=max(1, len(blocks))) as pool:
        pending = {name: pool.submit(_recent, block, shelf) for name, block in zip(clouds, blocks, strict=True)}
        for name, future in pending.items():
            try:
                market = future.result()
            except MarketUnavailable as error:
                log.warning("%s left out: %s", name, error)
            else:
                log.info("%s: %d offers", name, len(market))
                markets.append(market)
    if not markets:
        raise NoMarket(f"none of {', '.join(clouds)} gave its prices")
    return Market.merged(markets)


def market_now(cloud: Cloud, store: SnapshotStore, tell: OnProgress = no_progress) -> Market:
    """A cloud's prices now; its catalogue out of the store if it is of today, else read anew and kept there.

    Raises MarketUnavailable.
    """
    if not cloud.has_market:
        return cloud.market(tell=tell)
    return cloud.market(_catalogue(cloud, store, tell), tell)


def _catalogue(cloud: Cloud, store: SnapshotStore, tell: OnProgress) -> Catalogue:
    """The kept one while it holds, else a fresh one, kept. Without a shelf it is slower, not worse."""
    name = f"{cloud.kind}-{cloud.fingerprint()}"
    now = datetime.now(UTC)
    with suppress(StoreUnavailable):
        kept = store.catalogue(name)
        if kept is not None:
            taken_at, catalogue = kept
            if now - taken_at < timedelta(seconds=INCOMPLETE_S if catalogue.missing else CATALOGUE_S):
                return catalogue
    catalogue = cloud.catalogue(tell)
    with suppress(StoreUnavailable):
        store.keep_catalogue(name, catalogue, now)
    return catalogue


def _recent(cloud: Cloud, store: SnapshotStore) -> Market:
    """The cloud's newest snapshot if it is fresh, else its market now."""
    if cloud.has_market:
        try:
            newest = store.latest(cloud.kind)
            if newest is not None and datetime.now(UTC) - newest.taken_at < timedelta(seconds=FRESH_S):
                return store.read(newest)
        except StoreUnavailable:  # said by `recall`; the cloud itself still knows
            pass
    return market_now(cloud, store)
