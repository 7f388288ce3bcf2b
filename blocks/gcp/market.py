"""Market of Google Cloud: machine types and price list, read concurrently and joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl

from spotwave.blocks.cloud import Catalogue
from spotwave.blocks.concurrent import OnProgress, Progress, gather
from spotwave.blocks.gcp.billing import read_skus
from spotwave.blocks.gcp.clients import Clients
from spotwave.blocks.gcp.machine_types import read_catalogue
from spotwave.blocks.gcp.offers import offers
from spotwave.blocks.gcp.skus import unit_prices
from spotwave.blocks.market import Market
from spotwave.blocks.price_sanity import vetted


def read_market(clients: Clients, wanted: list[str], catalogue: Catalogue | None, tell: OnProgress) -> Market:
    """Return all offers. A missing catalogue is read at the same time as the prices. Raises MarketUnavailable."""
    progress = Progress(tell)
    tell_prices, tell_types = progress.part(), progress.part()
    read: dict[str, Callable[[], Any]] = {"prices": lambda: unit_prices(read_skus(clients, tell_prices))}
    if catalogue is None:
        read["types"] = lambda: read_catalogue(clients, wanted, tell_types)
    parts, _ = gather(read, len(read))
    prices, unpriced = parts["prices"]
    types: Catalogue = catalogue or parts["types"]
    table = types.tables["machine_types"]
    rows, dropped = offers(table.filter(pl.col("region").is_in(wanted)) if wanted else table, prices, datetime.now(UTC))
    return vetted("gcp", rows, Counter(types.dropped) + Counter(unpriced) + Counter(dropped), types.missing)
