"""Catalogue and market of Azure, each read in one round of concurrent calls once the regions are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from spotwave.blocks.azure.evictions import RATES
from spotwave.blocks.azure.offers import offers
from spotwave.blocks.azure.prices import Kind, RetailPrices, in_region, of_size, usable
from spotwave.blocks.azure.skus import SIZES, sizes
from spotwave.blocks.cloud import Catalogue
from spotwave.blocks.concurrent import OnProgress, Unavailable, gather, no_progress
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.market import Market
from spotwave.blocks.price_sanity import vetted

if TYPE_CHECKING:
    # Imports a second's worth of SDK, which the public price list does not need.
    from spotwave.blocks.azure.arm import Arm

AT_MOST = 24  #: concurrent calls, over all services

# Sizes available in every region: together they list all regions, even after one of them is retired.
_UBIQUITOUS = ("Standard_D2s_v3", "Standard_D2s_v5", "Standard_D2as_v5")
_BY_NAME = "derived from their names; add credentials to the block for restrictions, zones and eviction rates"
_PRICES: dict[str, pl.DataType] = {
    "region": pl.String(),
    "size": pl.String(),
    "name": pl.String(),
    "usd_h": pl.Float64(),
}


@dataclass(frozen=True)
class Part:
    """Result of one call."""

    frame: pl.DataFrame = field(default_factory=pl.DataFrame)
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """The services to read from. Without `arm` only the public price list."""

    retail: RetailPrices
    arm: Arm | None
    wanted: Sequence[str]  #: regions; empty: all that sell spot


Questions = dict[tuple[str, str], Callable[[], Part]]  #: by table and region ("": all regions)
Answers = tuple[dict[tuple[str, str], Part], dict[tuple[str, str], str]]


def read_catalogue(sources: Sources, tell: OnProgress) -> Catalogue:
    """Return regions, on-demand prices and, with credentials, sizes and eviction rates. Raises MarketUnavailable."""
    now = datetime.now(UTC)
    regions, missing = _regions(sources)
    return _catalogue(_asked(_slow(sources, regions, now), tell), regions, missing, sources.arm is not None)


def read_market(sources: Sources, catalogue: Catalogue | None, tell: OnProgress) -> Market:
    """Return all offers. A missing catalogue is read at the same time as the prices. Raises MarketUnavailable."""
    now = datetime.now(UTC)
    if catalogue is None:
        regions, missing = _regions(sources)
        slow = _slow(sources, regions, now)
    else:
        known = catalogue.tables["regions"]["region"].to_list()
        regions = [region for region in known if not sources.wanted or region in sources.wanted]
        missing = {region: "not in the catalogue; read it again" for region in sources.wanted if region not in known}
        slow = {}
    spot: Questions = {("spot", region): _priced(sources, region, "spot", now) for region in regions}
    # The longest chains of pages first.
    answers = _asked({**slow, **spot}, tell)
    if catalogue is None:
        catalogue = _catalogue(answers, regions, missing, sources.arm is not None)
        missing = {}
    prices, dropped, unpriced = _spot(answers, regions)
    rows, left_out = offers(prices, catalogue.tables, now)
    dropped = Counter(dropped) + Counter(left_out) + Counter(catalogue.dropped)
    # Noted in the market, not in the catalogue: that is complete, and may be kept for its day.
    unsized = {} if "sizes" in catalogue.tables else {"sizes": _BY_NAME}
    return vetted("azure", rows, dropped, {**missing, **catalogue.missing, **unsized, **unpriced})


def _regions(sources: Sources) -> tuple[list[str], dict[str, str]]:
    """Return the wanted regions, or all that sell a ubiquitous size. Also logs in, so that a wrong secret is reported
    only once."""
    asked: dict[str, Callable[[], pl.DataFrame]] = {}
    if not sources.wanted:
        asked = {size: _named(sources.retail, size) for size in _UBIQUITOUS}
    if sources.arm is not None:
        asked["login"] = _logged_in(sources.arm)
    found, failed = gather(asked, AT_MOST, no_progress)
    if "login" in failed:
        raise MarketUnavailable(f"azure: {failed['login']}")
    if sources.wanted:
        return list(dict.fromkeys(sources.wanted)), {}
    names = sorted({region for frame in found.values() for region in frame["armRegionName"].drop_nulls() if region})
    if not names:
        why = next(iter(failed.values()), "its answer is empty; check the prices endpoint of the block")
        raise MarketUnavailable(f"azure: the price list has no region: {why}")
    missing = {"regions": f"some may be missing: {next(iter(failed.values()))}"} if failed else {}
    return names, missing


def _named(retail: RetailPrices, size: str) -> Callable[[], pl.DataFrame]:
    return lambda: retail.items(of_size(size)).select("armRegionName")


def _logged_in(arm: Arm) -> Callable[[], pl.DataFrame]:
    def ask() -> pl.DataFrame:
        arm.log_in()
        return pl.DataFrame({"armRegionName": []}, schema={"armRegionName": pl.String})

    return ask


def _slow(sources: Sources, regions: Sequence[str], now: datetime) -> Questions:
    """Return the calls for the catalogue."""
    questions: Questions = {("on-demand", region): _priced(sources, region, "on-demand", now) for region in regions}
    if sources.arm is not None:
        questions |= {("sizes", region): _sized(sources.arm, region) for region in regions}
        questions["evictions", ""] = _evicted(sources.arm)
    return questions


def _priced(sources: Sources, region: str, kind: Kind, now: datetime) -> Callable[[], Part]:
    def ask() -> Part:
        frame, dropped = usable(sources.retail.items(in_region(region, kind)), kind, now)
        # On-demand answers always contain Windows and spot rows, so these are not counted.
        return Part(frame, dropped if kind == "spot" else {})

    return ask


def _sized(arm: Arm, region: str) -> Callable[[], Part]:
    def ask() -> Part:
        found = sizes(arm.skus(region), region)
        if found.is_empty():
            raise Unavailable("Resource SKUs has no size there; check the region's name")
        return Part(found)

    return ask


def _evicted(arm: Arm) -> Callable[[], Part]:
    def ask() -> Part:
        found = arm.eviction_rates()
        if found.is_empty():
            raise Unavailable("Resource Graph has no rates; give the identity the Reader role on the subscription")
        return Part(found)

    return ask


def _asked(questions: Questions, tell: OnProgress) -> Answers:
    names = {f"{table} {region}": (table, region) for table, region in questions}
    found, failed = gather({name: questions[key] for name, key in names.items()}, AT_MOST, tell)
    return {names[name]: part for name, part in found.items()}, {names[name]: why for name, why in failed.items()}


def _catalogue(answers: Answers, regions: Sequence[str], missing: Mapping[str, str], with_sizes: bool) -> Catalogue:
    """Build the catalogue. Raises MarketUnavailable if it cannot yield any offer."""
    failed = _failed(answers, "sizes")
    if with_sizes and len(failed) == len(regions):
        raise MarketUnavailable(f"azure: no sizes are listed: {next(iter(failed.values()))}")
    tables = {
        "regions": pl.DataFrame({"region": regions}, schema={"region": pl.String}),
        "on_demand": _table(answers, "on-demand", _PRICES),
    }
    found = {**missing}
    if with_sizes:
        tables["sizes"] = _table(answers, "sizes", SIZES)
        tables["evictions"] = _table(answers, "evictions", RATES)
        found |= failed
        if "" in (unrated := _failed(answers, "evictions")):
            found["eviction rates"] = unrated[""]
    lost = _failed(answers, "on-demand")
    if lost and len(lost) == len(regions):
        found["on-demand prices"] = next(iter(lost.values()))
    else:
        found |= {f"on-demand prices of {region}": why for region, why in lost.items()}
    return Catalogue(tables=tables, missing=found)


def _spot(answers: Answers, regions: Sequence[str]) -> tuple[pl.DataFrame, Counter[str], dict[str, str]]:
    """Return spot prices, rows dropped, and regions without prices. Raises MarketUnavailable if there are none."""
    frame = _table(answers, "spot", _PRICES)
    missing = _failed(answers, "spot")
    if frame.is_empty():
        why = next(iter(missing.values()), "the answers are empty; check the prices endpoint and regions of the block")
        raise MarketUnavailable(f"azure: no region has spot prices: {why}")
    priced = set(frame["region"].unique())
    missing |= {
        region: "the price list has no spot price there; check the region's name"
        for region in regions
        if region not in priced and region not in missing
    }
    dropped: Counter[str] = Counter()
    for (table, _), part in answers[0].items():
        if table == "spot":
            dropped.update(part.dropped)
    return frame, dropped, missing


def _table(answers: Answers, table: str, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.concat(
        [pl.DataFrame(schema=schema), *(part.frame for key, part in answers[0].items() if key[0] == table)]
    )


def _failed(answers: Answers, table: str) -> dict[str, str]:
    return {region: why for (its, region), why in answers[1].items() if its == table}
