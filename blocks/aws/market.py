"""Catalogue and market of AWS, each read with all independent calls at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from spotwave.blocks.aws.advisor import read_interruptions
from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.instance_types import read_types
from spotwave.blocks.aws.on_demand import read_on_demand
from spotwave.blocks.aws.spot_prices import offers, read_spot_prices
from spotwave.blocks.aws.table_part import Part
from spotwave.blocks.aws.zones import enabled_regions, read_zones
from spotwave.blocks.cloud import Catalogue
from spotwave.blocks.concurrent import OnProgress, Progress, gather
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.market import Market
from spotwave.blocks.price_sanity import vetted

Read = Mapping[str, Callable[[], Part]]


def read_catalogue(clients: Clients, wanted: Sequence[str], advisor: str, tell: OnProgress) -> Catalogue:
    """Return zones, types, on-demand prices and interruption rates. Raises MarketUnavailable."""
    regions, missing = enabled_regions(clients, wanted)
    return _catalogue(_all_at_once(_tables(clients, regions, advisor, Progress(tell))), missing)


def read_market(
    clients: Clients, wanted: Sequence[str], advisor: str, catalogue: Catalogue | None, tell: OnProgress
) -> Market:
    """Return all offers. A missing catalogue is read at the same time as the prices.

    Raises MarketUnavailable.
    """
    now, progress = datetime.now(UTC), Progress(tell)
    if catalogue is None:
        regions, missing = enabled_regions(clients, wanted)
        tables = _tables(clients, regions, advisor, progress)
    else:
        known = catalogue.tables["zones"]["region"].unique(maintain_order=True).to_list()
        regions = [region for region in known if not wanted or region in wanted]
        missing = {region: "not in the catalogue; read it again" for region in wanted if region not in known}
        tables = {}
    tell_prices = progress.part()
    parts = _all_at_once({"spot": lambda: read_spot_prices(clients, regions, now, tell_prices), **tables})
    spot = parts.pop("spot")
    if spot.frame.is_empty():
        raise MarketUnavailable(f"aws: no region has prices: {next(iter(spot.missing.values()), 'none is enabled')}")
    if catalogue is None:
        catalogue = _catalogue(parts, missing)
    rows, dropped = offers(spot.frame, catalogue.tables, now)
    left_out = Counter(dropped) + Counter(catalogue.dropped)
    return vetted("aws", rows, left_out, {**missing, **spot.missing, **catalogue.missing})


def _tables(clients: Clients, regions: Sequence[str], advisor: str, progress: Progress) -> Read:
    parts = [progress.part() for _ in range(4)]
    return {
        # The longest chain of calls first.
        "on_demand": lambda: read_on_demand(clients, regions, parts[0]),
        "types": lambda: read_types(clients, regions, parts[1]),
        "zones": lambda: read_zones(clients, regions, parts[2]),
        "interruptions": lambda: read_interruptions(advisor, parts[3]),
    }


def _all_at_once(read: Read) -> dict[str, Part]:
    """Read all parts concurrently; the clients limit the number of calls."""
    return gather(read, len(read))[0]


def _catalogue(parts: Mapping[str, Part], missing: Mapping[str, str]) -> Catalogue:
    """Build the catalogue. Raises MarketUnavailable if it cannot yield any offer."""
    for name, what in (("zones", "zones"), ("types", "instance types")):
        if parts[name].frame.is_empty():
            why = next(iter(parts[name].missing.values()), "the answers are empty")
            raise MarketUnavailable(f"aws: no {what} are listed: {why}")
    return Catalogue(
        tables={name: part.frame for name, part in parts.items()},
        missing={**missing, **{place: why for part in parts.values() for place, why in part.missing.items()}},
    )
