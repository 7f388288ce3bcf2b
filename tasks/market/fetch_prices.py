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

FRESH_S = 600.0  # maximum age of prices without a new request; spot prices change a few times a day
CATALOGUE_S = 86400.0
INCOMPLETE_S = 600.0  # an incomplete catalogue is not kept for a day


class NoMarket(RuntimeError):
    """No cloud's market could be read."""


@task(name="fetch_prices", retries=2, retry_delay_seconds=[2, 10])
def fetch_prices(clouds: list[str], store: str) -> Market:
    """Return the offers of all clouds, at most ten minutes old; a cloud that fails is logged and left out.

    clouds: names of Cloud block documents; store: of the SnapshotStore, whose newest snapshots are used if they are
    recent enough. Raises NoMarket if no cloud answers.
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
        raise NoMarket(f"no prices from any of {', '.join(clouds)}")
    return Market.merged(markets)


def market_now(cloud: Cloud, store: SnapshotStore, tell: OnProgress = no_progress) -> Market:
    """Read a cloud's current prices. The catalogue is taken from the store if it is of today, else read and stored.

    Raises MarketUnavailable.
    """
    if not cloud.has_market:
        return cloud.market(tell=tell)
    return cloud.market(_catalogue(cloud, store, tell), tell)


def _catalogue(cloud: Cloud, store: SnapshotStore, tell: OnProgress) -> Catalogue:
    """Return the stored catalogue while it is valid, else a new one, which is stored. Works without a store, too."""
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
    """Return the cloud's newest snapshot if it is recent, else its current market."""
    if cloud.has_market:
        try:
            newest = store.latest(cloud.kind)
            if newest is not None and datetime.now(UTC) - newest.taken_at < timedelta(seconds=FRESH_S):
                return store.read(newest)
        except StoreUnavailable:  # logged by `recall`; the cloud itself is read instead
            pass
    return market_now(cloud, store)
