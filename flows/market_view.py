"""The market as the command line shows it, without a flow run: the ranking and the reasons. Plain code on the tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.concurrent import OnProgress
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.market import Market
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.tasks.load_blocks import Clouds, NoSuchBlock, all_clouds, load_store
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.explain import Explained, explain
from spotwave.tasks.market.fetch_prices import market_now
from spotwave.tasks.market.learned import measured_speeds
from spotwave.tasks.market.rank import rank, why
from spotwave.tasks.records import Choice, Ranked

__all__ = [
    "Choice",
    "Clouds",
    "Explained",
    "Ranked",
    "Work",
    "all_clouds",
    "explain",
    "measured_speeds",
    "rank",
    "why",
]

Follow = Callable[[str], OnProgress]  #: returns the progress callback of one cloud


@dataclass(frozen=True)
class MarketView:
    """A market, with notes on what is missing."""

    market: Market
    taken_at: dict[str, datetime] = field(default_factory=dict)  #: by cloud
    notes: list[str] = field(default_factory=list)  #: one line each: clouds that are missing, and why


def saved_store(name: str = "snapshot-store/here") -> SnapshotStore | None:
    """Return the saved store, or None if the API has none."""
    try:
        return load_store(name)
    except NoSuchBlock:
        return None


def last_market(store: SnapshotStore, kinds: list[str]) -> MarketView:
    """Return the newest snapshot of each cloud. Raises StoreUnavailable."""
    markets, taken_at, notes = [], {}, []
    for kind in kinds:
        newest = store.latest(kind)
        if newest is None:
            notes.append(f"{kind}: no snapshot yet; `spotwave prices --now` reads the clouds, `prices/now` saves one")
            continue
        markets.append(store.read(newest))
        taken_at[kind] = newest.taken_at
    return MarketView(Market.merged(markets), taken_at, notes)


def market_view_now(clouds: Mapping[str, Cloud], store: SnapshotStore, follow: Follow) -> MarketView:
    """Read the current market of these clouds (by document) in parallel; a cloud that fails becomes a note."""
    markets: dict[str, Market] = {}
    notes: list[str] = []
    with ThreadPoolExecutor(max_workers=max(1, len(clouds))) as pool:
        pending = {cloud.kind: pool.submit(market_now, cloud, store, follow(cloud.kind)) for cloud in clouds.values()}
        for kind, future in pending.items():
            try:
                markets[kind] = future.result()
            except MarketUnavailable as error:
                notes.append(str(error))
    merged = Market.merged(markets.values())
    notes += [f"{place}: {why}" for place, why in merged.missing.items()]
    return MarketView(merged, {kind: at for kind, market in markets.items() if (at := market.seen_at)}, sorted(notes))
