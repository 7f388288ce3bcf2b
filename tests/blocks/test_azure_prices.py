"""Selection of the hourly prices of Linux machines from Azure's price list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from spotwave.blocks.azure.pages import Garbled, listed, same_host
from spotwave.blocks.azure.prices import ITEM, usable
from tests.emulators.azure_world import item

NOW = datetime(2025, 7, 15, tzinfo=UTC)


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in ITEM} for row in rows], schema=ITEM)


def spot(usd_h: float = 0.02, **other: Any) -> dict[str, Any]:
    return item("eastus", "Standard_D2s_v5", usd_h, kind=" Spot", **other)


def test_linux_spot_price_is_kept_with_its_size_in_lower_case() -> None:
    kept, dropped = usable(frame(spot(0.0192)), "spot", NOW)

    assert kept.to_dicts() == [
        {"region": "eastus", "size": "standard_d2s_v5", "name": "Standard_D2s_v5", "usd_h": 0.0192}
    ]
    assert dropped == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (spot(serviceName="Storage"), "not a virtual machine"),
        (spot(type="Reservation"), "price of a reservation"),
        (spot(type="DevTestConsumption", system=" Windows"), "price for dev/test subscriptions"),
        (spot(type="SavingsPlan"), "not a price by consumption"),
        (spot(unitOfMeasure="1/Month"), "not priced by the hour"),
        (spot(currencyCode="EUR"), "price in another currency"),
        (spot(system=" Windows"), "Windows"),
        (spot(productName="Dv5 Series Cloud Services"), "Cloud Services"),
        (spot(productName="Dedicated Host Dv5"), "dedicated host"),
        (item("eastus", "Standard_D2s_v5", 0.02, kind=" Low Priority"), "Low Priority (of Azure Batch)"),
        (item("eastus", "Standard_D2s_v5", 0.02), "not a spot price"),
        (spot(meterName="D2s v5"), "not a spot price"),
        (spot(armSkuName=""), "no size named"),
        (spot(armSkuName=None), "no size named"),
        (spot(0.0), "price of zero or less"),
        (spot(retailPrice=None), "price of zero or less"),
        (spot(effectiveStartDate="2025-08-01T00:00:00Z"), "price not yet in force"),
        (spot(effectiveStartDate="soon"), "price not yet in force"),
        (spot(effectiveEndDate="2025-06-30T23:59:00Z"), "price no longer in force"),
    ],
)
def test_each_unusable_row_has_its_reason(row: dict[str, Any], reason: str) -> None:
    kept, dropped = usable(frame(row), "spot", NOW)

    assert kept.is_empty()
    assert dropped == {reason: 1}


def test_newest_current_price_counts() -> None:
    kept, dropped = usable(
        frame(
            spot(0.01, effectiveStartDate="2024-01-01T00:00:00Z"),
            spot(0.02, effectiveStartDate="2025-07-01T00:00:00Z"),
            spot(0.03, effectiveStartDate="2025-08-01T00:00:00Z"),
        ),
        "spot",
        NOW,
    )

    assert kept["usd_h"].to_list() == [0.02]
    assert dropped == {"price not yet in force": 1, "older price of the same size": 1}


def test_price_that_ended_today_counts_until_the_list_is_updated() -> None:
    ended = "2025-07-14T23:59:00Z"
    kept, _ = usable(frame(spot(0.01, effectiveEndDate=ended)), "spot", NOW)
    renewed, _ = usable(
        frame(
            spot(0.01, effectiveEndDate=ended),
            spot(0.02, effectiveStartDate="2025-07-15T00:00:00Z"),
        ),
        "spot",
        NOW,
    )

    assert kept["usd_h"].to_list() == [0.01]
    assert renewed["usd_h"].to_list() == [0.02]


def test_on_demand_prices_are_the_rows_without_spot() -> None:
    kept, dropped = usable(frame(spot(), item("eastus", "Standard_D2s_v5", 0.096)), "on-demand", NOW)

    assert kept["usd_h"].to_list() == [0.096]
    assert dropped == {"a spot price": 1}


def test_sizes_with_one_meter_are_distinguished_by_size() -> None:
    shared = {"kind": " Spot", "meterName": "D14/DS14 v2 Spot"}
    kept, _ = usable(
        frame(
            item("eastus", "Standard_D14_v2", 0.3, **shared),
            item("eastus", "Standard_DS14_v2", 0.31, **shared),
        ),
        "spot",
        NOW,
    )

    assert sorted(kept["usd_h"]) == [0.3, 0.31]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"error": 1}', b'{"Items": 5}', b'{"Items": null}'])
def test_invalid_page_is_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        listed(body, "Items", "NextPageLink", ITEM)


def test_empty_page_is_valid() -> None:
    rows, link = listed(b'{"Items":[],"NextPageLink":null}', "Items", "NextPageLink", ITEM)

    assert rows.is_empty()
    assert dict(rows.schema) == ITEM
    assert link is None


@pytest.mark.parametrize(
    ("link", "same"),
    [
        ("https://prices.azure.com:443/api/retail/prices?$skip=1000", True),  # as the real list writes it
        ("https://PRICES.azure.com/x", True),
        ("http://prices.azure.com/x", False),
        ("https://prices.azure.com.evil.example/x", False),
        ("https://prices.azure.com:x/", False),
        ("/api/retail/prices", False),
    ],
)
def test_same_host(link: str, same: bool) -> None:
    assert same_host(link, "https://prices.azure.com") is same
