"""Unit prices from the price list: USD per hour for a core, a GiB, a GPU in each region, spot and on demand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from spotwave.blocks.gcp.families import ANY_SSD, GPU_ALIASES

CORE, RAM, GPU, SSD, WHOLE = "core", "RAM", "GPU", "local SSD", "whole VM"

PRICES: dict[str, pl.DataType] = {
    "part": pl.String(),
    "sku": pl.String(),
    "region": pl.String(),
    "spot_usd": pl.Float64(),
    "on_demand_usd": pl.Float64(),
}

# A description, e.g. 'Spot Preemptible N2D AMD Instance Core running in Paris'. Its place is a city or a continent,
# sometimes with two names for one; the regions of a SKU are taken from `serviceRegions`.
_DESCRIPTION = re.compile(
    r"""
    (?P<spot>(?:Spot\ )?Preemptible\ )?
    (?: (?P<head>.+?)(?:\ Instance)?\ (?P<part>Core|Ram)
      | (?P<whole>Micro\ Instance\ with\ burstable\ CPU|Small\ Instance\ with\ 1\ VCPU)
      | (?P<ssd>\w+)\ Instance\ Local\ SSD
      | (?P<any_ssd>SSD\ backed\ Local\ Storage)
      | (?:Nvidia\ )?(?P<gpu>.+?)(?:\ GPU)?
    )
    (?P<attached>\ attached\ to\ Spot(?:\ Preemptible)?\ VMs?)?
    (?:\ (?:running\ )?in\ .+)?
    """,
    re.VERBOSE,
)
# SKUs of other products than a predefined machine by the hour.
_OTHERWISE = re.compile(
    r"custom|sole tenancy|reserved|reservation|commit|premium|upgrade|dws|calendar|flex|suspend", re.IGNORECASE
)
_GROUPS = {"CPU", "RAM", "GPU", "N1Standard", "F1Micro", "G1Small", "LocalSSD"}
_USAGES = {"OnDemand", "Preemptible"}

_GIB_OF_GB = 1.073741824  # ratio of 2^30 to 10^9 bytes: C4D's RAM is in GBy, all else in GiBy
_HOURS_A_MONTH = 730.0  # as Google counts
_HOURS = {"h": 1.0}
_GIB_HOURS = {"GiBy.h": 1.0, "GBy.h": _GIB_OF_GB, "GiBy.mo": 1 / _HOURS_A_MONTH, "GBy.mo": _GIB_OF_GB / _HOURS_A_MONTH}
# By part: the allowed units of a price, as factors to USD/h for one part; and the default unit.
_UNITS = {
    CORE: (_HOURS, "h"),
    GPU: (_HOURS, "h"),
    WHOLE: (_HOURS, "h"),
    RAM: (_GIB_HOURS, "GiBy.h"),
    SSD: (_GIB_HOURS, "GiBy.mo"),
}


class Kind(NamedTuple):
    """The thing that a SKU is the price of."""

    part: str  #: CORE, RAM, GPU, SSD or WHOLE
    sku: str  #: name as in families.py, e.g. 'N2D AMD' or 'Tesla A100'
    spot: bool


def classified(sku: Mapping[str, Any]) -> Kind | None:
    """Return what an element of services.skus.list prices; None if it is not a part of a predefined machine."""
    category = sku.get("category") or {}
    group, usage = category.get("resourceGroup"), category.get("usageType")
    if group not in _GROUPS or usage not in _USAGES:
        return None
    text = sku.get("description", "")
    found = _DESCRIPTION.fullmatch(text)
    if found is None or _OTHERWISE.search(text):
        return None
    # Some spot SKUs are listed as on demand.
    spot = usage == "Preemptible" or bool(found["spot"] or found["attached"])
    if group == "GPU":
        name = found["gpu"]
        return Kind(GPU, GPU_ALIASES.get(name, name), spot) if name else None
    if found["part"]:
        return Kind(CORE if found["part"] == "Core" else RAM, found["head"], spot)
    if found["whole"]:
        return Kind(WHOLE, found["whole"], spot)
    if found["ssd"] or found["any_ssd"]:
        return Kind(SSD, found["ssd"] or ANY_SSD, spot)
    return None


def unit_prices(skus: Iterable[Mapping[str, Any]]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return (prices in USD/h of one core, GiB of RAM, GPU, GiB of local SSD or whole VM, as a frame of `PRICES`;
    number of SKUs dropped, by reason). Null if there is no such SKU.

    If a region has two SKUs for one thing, as us-east4 does ('Virginia' and 'Northern Virginia'), the more expensive
    one counts.
    """
    columns: list[tuple[str, str, str, bool, float]] = []
    dropped: Counter[str] = Counter()
    for sku in skus:
        kind = classified(sku)
        if kind is None:
            continue
        usd_h = _usd_h(sku, kind.part)
        if isinstance(usd_h, str):
            dropped[usd_h] += 1
            continue
        columns += [(*kind[:2], region, kind.spot, usd_h) for region in sku.get("serviceRegions") or ()]
    listed = pl.DataFrame(
        columns,
        schema={"part": pl.String, "sku": pl.String, "region": pl.String, "spot": pl.Boolean, "usd": pl.Float64},
        orient="row",
    )
    prices = listed.group_by("part", "sku", "region").agg(
        spot_usd=pl.col("usd").filter(pl.col("spot")).max(),
        on_demand_usd=pl.col("usd").filter(~pl.col("spot")).max(),
    )
    return prices.cast(PRICES), dict(dropped)  # type: ignore[arg-type]


def _usd_h(sku: Mapping[str, Any], part: str) -> float | str:
    """Return USD/h for one unit of the part, or why there is no price."""
    try:
        expression = sku["pricingInfo"][-1]["pricingExpression"]  # a timeline: the last entry is current
        prices = [rate["unitPrice"] for rate in expression["tieredRates"]]
        # The first tiers may be free. The JSON omits zeros.
        usd, currency = next(
            (
                (usd, price.get("currencyCode", "USD"))
                for price in prices
                if (usd := int(price.get("units", 0)) + price.get("nanos", 0) / 1e9) > 0
            ),
            (0.0, "USD"),
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return "SKU without a price"
    units, usual = _UNITS[part]
    factor = units.get(expression.get("usageUnit") or usual)
    if usd == 0:
        return "SKU without a price"
    if currency != "USD":
        return "SKU in another currency"
    if factor is None:
        return "SKU in an unknown unit"
    return usd * factor
