"""Azure Retail Prices: the queries, and the selection of hourly prices of Linux machines.

Source: Azure Retail Prices REST API, 2023-01-01-preview. No credentials; values in filters are case-sensitive.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

import polars as pl
import requests

from spotwave.blocks.azure.pages import all_pages, listed
from spotwave.blocks.http import get_bytes, patiently

Kind = Literal["spot", "on-demand"]

_PATH = "/api/retail/prices?api-version=2023-01-01-preview&$filter="
# On the first of a month, a list that is being updated still has the prices of the last month.
_GRACE = timedelta(days=1)

# The fields of an item that are read.
ITEM: dict[str, pl.DataType] = {
    "currencyCode": pl.String(),
    "retailPrice": pl.Float64(),
    "armRegionName": pl.String(),
    "armSkuName": pl.String(),
    "productName": pl.String(),
    "skuName": pl.String(),
    "meterName": pl.String(),
    "serviceName": pl.String(),
    "unitOfMeasure": pl.String(),
    "type": pl.String(),
    "effectiveStartDate": pl.String(),
    "effectiveEndDate": pl.String(),
}


def in_region(region: str, kind: Kind) -> str:
    """Return the filter for a region. There is no filter for on-demand only: spot and Windows are included."""
    asked = (
        f"serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{_literal(region)}'"
    )
    return f"{asked} and contains(skuName, 'Spot')" if kind == "spot" else asked


def of_size(size: str) -> str:
    """Return the filter for a size's spot prices in every region."""
    return (
        "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' "
        f"and armSkuName eq '{_literal(size)}' and contains(skuName, 'Spot')"
    )


def _literal(value: str) -> str:
    return value.replace("'", "''")


class RetailPrices:
    """The public price list at `endpoint`."""

    def __init__(self, http: requests.Session, endpoint: str) -> None:
        self._http = http
        self._endpoint = endpoint

    def items(self, asked: str) -> pl.DataFrame:
        """Return all items that match a filter, as `ITEM`. Raises Unavailable."""
        # Spaces as %20, since the service does not accept '+'.
        first = f"{self._endpoint}{_PATH}{quote(asked, safe='')}"
        return all_pages(first, self._endpoint, self._page)

    def _page(self, address: str) -> tuple[pl.DataFrame, str | None]:
        what = f"the price list at {self._endpoint}"
        return patiently(lambda: listed(get_bytes(self._http, address, what=what), "Items", "NextPageLink", ITEM), what)


def usable(items: pl.DataFrame, kind: Kind, now: datetime) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the current prices of Linux machines, one per region and size, and the number of rows dropped, by reason.

    items: as `ITEM`; now: timezone-aware. Columns: region, size (lower case: the join ignores case), name, usd_h.
    Only the product's name tells the operating system of a price.
    """
    column = pl.col
    rows = items.with_columns(
        start=column("effectiveStartDate").str.to_datetime("%+", time_zone="UTC", strict=False),
        end=column("effectiveEndDate").str.to_datetime("%+", time_zone="UTC", strict=False),
    )
    is_spot = column("skuName").str.ends_with(" Spot") & column("meterName").str.ends_with(" Spot")
    other = [("not a spot price", ~is_spot)] if kind == "spot" else [("a spot price", is_spot)]
    tests: list[tuple[str, pl.Expr]] = [
        ("not a virtual machine", column("serviceName") != "Virtual Machines"),
        ("price of a reservation", column("type") == "Reservation"),
        ("price for dev/test subscriptions", column("type") == "DevTestConsumption"),
        ("not a price by consumption", column("type") != "Consumption"),
        ("not priced by the hour", column("unitOfMeasure") != "1 Hour"),
        ("price in another currency", column("currencyCode") != "USD"),
        ("Windows", column("productName").str.contains("Windows", literal=True)),
        ("Cloud Services", column("productName").str.contains("Cloud ?Services")),
        ("dedicated host", column("productName").str.contains("Dedicated", literal=True)),
        ("Low Priority (of Azure Batch)", column("skuName").str.contains("Low Priority", literal=True)),
        *other,
        ("no size named", column("armSkuName").str.len_chars() == 0),
        ("price of zero or less", column("retailPrice") <= 0),
        ("price not yet in force", column("start") > now),
        ("price no longer in force", (column("end") < now - _GRACE).fill_null(False)),
    ]
    verdict = pl.lit(None, dtype=pl.String)
    for reason, unfit in reversed(tests):
        verdict = pl.when(unfit.fill_null(True)).then(pl.lit(reason)).otherwise(verdict)
    judged = rows.with_columns(verdict=verdict)
    dropped = _counts(judged)
    good = judged.filter(column("verdict").is_null()).select(
        region=column("armRegionName"),
        size=column("armSkuName").str.to_lowercase(),
        name=column("armSkuName"),
        usd_h=column("retailPrice"),
        start=column("start"),
    )
    # Newest first, then the most expensive: of two current prices, the more cautious one.
    newest = good.sort(["start", "usd_h"], descending=True).unique(
        ["region", "size"], keep="first", maintain_order=True
    )
    if good.height > newest.height:
        dropped["older price of the same size"] = good.height - newest.height
    return newest.drop("start"), dropped


def _counts(judged: pl.DataFrame) -> dict[str, int]:
    return dict(judged.drop_nulls("verdict").group_by("verdict").len().iter_rows())
