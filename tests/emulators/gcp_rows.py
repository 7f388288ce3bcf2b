"""Rows of Google's lists in its APIs' format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

US, EUROPE, EAST = "us-central1", "europe-west4", "us-east4"
CITIES = {US: "Americas", EUROPE: "Netherlands", EAST: "Northern Virginia"}


def machine_type(
    name: str,
    vcpus: int,
    gib: float,
    architecture: str | None = "X86_64",
    gpu: tuple[str, int] | None = None,
    ssd: int = 0,
    state: str = "",
    shared: bool = False,
) -> dict[str, Any]:
    """Return a row of machineTypes; `ssd` counts partitions. int64 are strings, as in all of Google's JSON."""
    row: dict[str, Any] = {
        "kind": "compute#machineType",
        "id": str(crc32(name.encode())),
        "creationTimestamp": "1969-12-31T16:00:00.000-08:00",
        "name": name,
        "description": f"{vcpus} vCPUs, {gib:g} GB RAM",
        "guestCpus": vcpus,
        "memoryMb": int(gib * 1024),
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
        "selfLink": f"https://www.googleapis.com/compute/v1/projects/spotwave-test/zones/-/machineTypes/{name}",
        "isSharedCpu": shared,
    }
    if architecture:
        row["architecture"] = architecture
    if gpu:
        row["accelerators"] = [{"guestAcceleratorType": gpu[0], "guestAcceleratorCount": gpu[1]}]
    if ssd:
        row["bundledLocalSsds"] = {"defaultInterface": "NVME", "partitionCount": ssd}
    if state:
        row["deprecated"] = {"state": state, "replacement": "..."}
    return row


def money(usd: float, currency: str = "USD") -> dict[str, Any]:
    """Return a price; zeros are omitted."""
    nanos = round(usd * 1e9)
    price: dict[str, Any] = {"currencyCode": currency}
    if nanos // 10**9:
        price["units"] = str(nanos // 10**9)
    if nanos % 10**9:
        price["nanos"] = nanos % 10**9
    return price


def sku(
    description: str,
    group: str,
    usd: float | Sequence[float],
    regions: Sequence[str],
    usage: str = "Preemptible",
    unit: str = "h",
    currency: str = "USD",
    before: float | None = None,
) -> dict[str, Any]:
    """Return an element of the price list; `usd` by tier if there are several, `before` an earlier price."""

    def info(rates: Sequence[float], since: str) -> dict[str, Any]:
        return {
            "summary": "",
            "pricingExpression": {
                "usageUnit": unit,
                "displayQuantity": 1,
                "tieredRates": [
                    {"startUsageAmount": tier, "unitPrice": money(rate, currency)} for tier, rate in enumerate(rates)
                ],
                "usageUnitDescription": "hour",
                "baseUnit": "s",
                "baseUnitDescription": "second",
                "baseUnitConversionFactor": 3600,
            },
            "currencyConversionRate": 1,
            "effectiveTime": since,
        }

    number = f"{crc32(f'{description} {usage} {unit} {regions}'.encode()):08X}"
    rates = [usd] if isinstance(usd, int | float) else list(usd)
    return {
        "name": f"services/6F81-5844-456A/skus/{number}",
        "skuId": number,
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Storage" if group == "LocalSSD" else "Compute",
            "resourceGroup": group,
            "usageType": usage,
        },
        "serviceRegions": list(regions),
        "pricingInfo": ([info([before], "2025-01-01T00:00:00Z")] if before is not None else [])
        + [info(rates, "2026-01-01T00:00:00Z")],
        "serviceProviderName": "Google",
        "geoTaxonomy": {"type": "REGIONAL", "regions": list(regions)},
    }


ON_DEMAND = 4  #: times the spot price, by default


def both(
    description: str, group: str, usd: float, region: str, unit: str = "h", city: str = ""
) -> list[dict[str, Any]]:
    """Return the spot SKU and the on-demand one."""
    where = f"running in {city or CITIES.get(region, region)}"
    return [
        sku(f"Spot Preemptible {description} {where}", group, usd, [region], unit=unit),
        sku(f"{description} {where}", group, usd * ON_DEMAND, [region], "OnDemand", unit),
    ]


def core_and_ram(name: str, core: float, ram: float, region: str, ram_unit: str = "GiBy.h") -> list[dict[str, Any]]:
    """Return the SKUs of core and RAM; `name` as before ' Core', e.g. 'N2 Instance'."""
    one = name == "N1 Predefined Instance"
    return [
        *both(f"{name} Core", "N1Standard" if one else "CPU", core, region),
        *both(f"{name} Ram", "N1Standard" if one else "RAM", ram, region, ram_unit),
    ]


def gpu(name: str, usd: float, region: str) -> list[dict[str, Any]]:
    where = f"running in {CITIES.get(region, region)}"
    return [
        sku(f"{name} attached to Spot Preemptible VMs {where}", "GPU", usd, [region]),
        sku(f"{name} {where}", "GPU", usd * ON_DEMAND, [region], "OnDemand"),
    ]


def local_ssd(usd_month: float, region: str) -> list[dict[str, Any]]:
    where = f"in {CITIES.get(region, region)}"
    spot = f"SSD backed Local Storage attached to Spot Preemptible VMs {where}"
    return [
        # Listed as on demand, as in the real price list.
        sku(spot, "LocalSSD", usd_month, [region], "OnDemand", "GiBy.mo"),
        sku(f"SSD backed Local Storage {where}", "LocalSSD", usd_month * ON_DEMAND, [region], "OnDemand", "GiBy.mo"),
    ]
