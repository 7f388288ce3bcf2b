"""Regions of the account, and their availability zones (EC2 API, DescribeRegions and DescribeAvailabilityZones)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from spotwave.blocks.aws.clients import AT_MOST, Clients
from spotwave.blocks.aws.table_part import Part
from spotwave.blocks.concurrent import OnProgress, Unavailable, gather
from spotwave.blocks.errors import MarketUnavailable

ZONES = {"region": pl.String, "zone": pl.String, "zone_id": pl.String, "no_zone": pl.String}


def enabled_regions(clients: Clients, wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return (regions to read, reasons why other wanted regions are left out). Raises MarketUnavailable.

    Without AllRegions the answer holds only the regions enabled for the account.
    """
    try:
        enabled = [row["RegionName"] for row in clients.rows("ec2", clients.home, "describe_regions", "Regions")]
    except Unavailable as error:
        raise MarketUnavailable(f"aws: {error}") from error
    missing = {region: "not enabled for this account" for region in wanted if region not in enabled}
    regions = [region for region in enabled if not wanted or region in wanted]
    if not regions:
        raise MarketUnavailable("aws: none of the regions is enabled for this account; set others in the block")
    return regions, missing


def read_zones(clients: Clients, regions: Sequence[str], tell: OnProgress) -> Part:
    """Return the zones of every region, as in `zones_frame`."""

    def ask(region: str) -> list[dict[str, Any]]:
        return list(clients.rows("ec2", region, "describe_availability_zones", "AvailabilityZones"))

    answers, failed = gather({region: partial(ask, region) for region in regions}, AT_MOST, tell)
    return Part(zones_frame(answers), failed)


def zones_frame(rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> pl.DataFrame:
    """Convert rows of DescribeAvailabilityZones; `no_zone` is the reason why a zone is unusable, null if it is usable.

    Zone names are specific to an account, zone ids are the same for all. Local and Wavelength Zones have few types,
    other prices, and no spot launches by default.
    """
    return pl.DataFrame(
        [
            (region, row["ZoneName"], row.get("ZoneId"), _no_zone(row))
            for region, listed in rows.items()
            for row in listed
        ],
        schema=ZONES,
        orient="row",
    )


def _no_zone(row: Mapping[str, Any]) -> str | None:
    if row.get("ZoneType", "availability-zone") != "availability-zone":
        return "Local or Wavelength Zone"
    return None if row.get("State") == "available" else "zone not available"
