"""On-demand prices (AWS Price List API, GetProducts)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from spotwave.blocks.aws.clients import AT_MOST, HOME, Clients
from spotwave.blocks.aws.table_part import Part, named
from spotwave.blocks.concurrent import OnProgress, Unavailable, gather

ON_DEMAND = {"region": pl.String, "instance_type": pl.String, "on_demand_usd_h": pl.Float64}

# One product per type: without licences, on shared hardware, and not the zero price of a capacity reservation.
_WANTED = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}


def read_on_demand(clients: Clients, regions: Sequence[str], tell: OnProgress) -> Part:
    """Return the on-demand price of every type in every region; needs pricing:GetProducts."""

    def ask(region: str) -> list[tuple[str, float]]:
        fields = {"regionCode": region, **_WANTED}
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in fields.items()]
        asked = {"ServiceCode": "AmazonEC2", "FormatVersion": "aws_v1", "Filters": filters, "MaxResults": 100}
        found = list(on_demand_prices(clients.rows("pricing", HOME, "get_products", "PriceList", **asked)))
        if not found:
            raise Unavailable("the price list has no prices")
        return found

    answers, failed = gather({region: partial(ask, region) for region in regions}, AT_MOST, tell)
    return Part(on_demand_frame(answers), named(failed, "on-demand prices", len(regions)))


def on_demand_frame(prices: Mapping[str, Iterable[tuple[str, float]]]) -> pl.DataFrame:
    """Convert (instance type, USD/h) by region to a frame, with the lowest of several prices."""
    rows = [(region, name, usd_h) for region, listed in prices.items() for name, usd_h in listed]
    return (
        pl.DataFrame(rows, schema=ON_DEMAND, orient="row")
        .group_by("region", "instance_type", maintain_order=True)
        .agg(pl.col("on_demand_usd_h").min())
    )


# A product is 7 kB of JSON, nearly all of it reservations. Its texts cannot contain an unescaped quote, so these
# patterns only match keys.
_ATTRIBUTES = re.compile(r'"attributes"\s*:\s*')
_TERMS = re.compile(r'"OnDemand"\s*:\s*')
_DECODER = json.JSONDecoder()


def on_demand_prices(products: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield (instance type, USD/h) of every product, JSON texts as in PriceList. Zero and other currencies are skipped.

    Raises Unavailable if a text is not a product.
    """
    try:
        for text in products:
            attributes, terms = _part(_ATTRIBUTES, text), _part(_TERMS, text)
            usd_h = _usd_h(terms)
            if usd_h > 0 and "instanceType" in attributes and _is_wanted(attributes):
                yield attributes["instanceType"], usd_h
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"GetProducts returned a product that cannot be read: {type(error).__name__}") from error


def _part(key: re.Pattern[str], text: str) -> dict[str, Any]:
    """Decode only the object at the key; {} if the key is missing."""
    found = key.search(text)
    part: dict[str, Any] = _DECODER.raw_decode(text, found.end())[0] if found else {}
    return part


def _is_wanted(attributes: Mapping[str, str]) -> bool:
    return all(attributes.get(name, value) == value for name, value in _WANTED.items())


def _usd_h(terms: Mapping[str, Any]) -> float:
    return max(
        (
            float(dimension["pricePerUnit"].get("USD", 0))
            for term in terms.values()
            for dimension in term["priceDimensions"].values()
            if dimension.get("unit") == "Hrs"
        ),
        default=0.0,
    )
