"""Data of the emulated Azure: price items, Resource SKUs and eviction rates, with special cases of the real lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

SUBSCRIPTION = "00000000-0000-0000-0000-00000000abcd"
# Not used by the client, but sent with every size.
_FURTHER = {
    "MaxResourceVolumeMB": "0",
    "OSVhdSizeMB": "1047552",
    "MemoryPreservingMaintenanceSupported": "True",
    "HyperVGenerations": "V1,V2",
    "DiskControllerTypes": "SCSI,NVMe",
    "MaxDataDiskCount": "8",
    "PremiumIO": "True",
    "VMDeploymentTypes": "IaaS",
    "ACUs": "195",
    "CombinedTempDiskAndCachedIOPS": "9000",
    "CombinedTempDiskAndCachedReadBytesPerSecond": "131072000",
    "CombinedTempDiskAndCachedWriteBytesPerSecond": "131072000",
    "UncachedDiskIOPS": "3750",
    "UncachedDiskBytesPerSecond": "85000000",
    "EphemeralOSDiskSupported": "False",
    "EncryptionAtHostSupported": "True",
    "CapacityReservationSupported": "True",
    "AcceleratedNetworkingEnabled": "True",
    "RdmaEnabled": "False",
    "MaxNetworkInterfaces": "2",
    "UltraSSDAvailable": "True",
    "CpuDiagnostics": "False",
    **{f"SupportedFeature{number}": "True" for number in range(12)},
}


@dataclass
class World:
    """All lists are by region; eviction rates are (size in lower case, region, rate)."""

    items: dict[str, list[Row]] = field(default_factory=dict)
    skus: dict[str, list[Row]] = field(default_factory=dict)
    evictions: list[tuple[str, str, str]] = field(default_factory=list)
    items_a_page: int = 1000
    skus_a_page: int = 10**6  #: the real list supports pages, but usually has one page per region
    rows_a_page: int = 1000  #: of Resource Graph

    @property
    def regions(self) -> list[str]:
        return list(self.items)


def item(region: str, size: str, usd_h: float, **other: Any) -> Row:
    """Return a row of the price list: a Linux machine on demand by default; `kind` is ' Spot' etc."""
    kind, system = other.pop("kind", ""), other.pop("system", "")
    short = size.removeprefix("Standard_").replace("_", " ")
    series = "".join(letter for letter in short if not letter.isdigit()).strip()
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": usd_h,
        "unitPrice": usd_h,
        "armRegionName": region,
        "location": region.upper(),
        "effectiveStartDate": "2025-06-01T00:00:00Z",
        "meterId": "000009d0-057f-5f2b-b7e9-9e26add324a8",
        "meterName": f"{short}{kind}",
        "productId": "DZH318Z0BPVW",
        "skuId": "DZH318Z0BPVW/00QZ",
        "productName": f"Virtual Machines {series} Series{system}",
        "skuName": f"{short}{kind}",
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": size,
        **other,
    }


def six(region: str, size: str, usd_h: float) -> list[Row]:
    """Return all rows of a size on a price list: on demand, Low Priority and spot, each for Linux and Windows."""
    return [
        item(region, size, usd_h * share * (1 if not system else 1.8), kind=kind, system=system)
        for kind, share in (("", 1.0), (" Low Priority", 0.25), (" Spot", 0.2))
        for system in ("", " Windows")
    ]


def sku(
    region: str, size: str, vcpus: int, memory_gib: float, zones: str = "", further: bool = False, **capability: str
) -> Row:
    """Return a Resource SKU; zones as '231', capabilities besides vCPUs and memory as keywords (None: omitted)."""
    told = {
        "vCPUs": str(vcpus),
        "vCPUsAvailable": str(vcpus),
        "vCPUsPerCore": "2",
        "MemoryGB": f"{memory_gib:g}",
        "CpuArchitectureType": "x64",
        "LowPriorityCapable": "True",
        **(_FURTHER if further else {}),
        **capability,
    }
    return {
        "resourceType": "virtualMachines",
        "name": size,
        "tier": "Standard",
        "size": size.removeprefix("Standard_"),
        "family": "standardFamily",
        "locations": [region],
        "locationInfo": [{"location": region, "zones": list(zones), "zoneDetails": []}],
        "capabilities": [{"name": name, "value": value} for name, value in told.items() if value is not None],
        "restrictions": [],
    }


def not_allowed(row: Row, zones: str = "") -> Row:
    """Return the SKU with a restriction on these zones, or on the whole location."""
    region = row["locations"][0]
    restriction = {
        "type": "Zone" if zones else "Location",
        "values": [region],
        "restrictionInfo": {"locations": [region], "zones": list(zones)},
        "reasonCode": "NotAvailableForSubscription",
    }
    return {**row, "restrictions": [*row["restrictions"], restriction]}


# Size: (vCPUs, GiB, on-demand USD/h, capabilities).
_SIZES: dict[str, tuple[int, float, float, dict[str, Any]]] = {
    "Standard_D2s_v3": (2, 8, 0.096, {}),
    "Standard_D2s_v5": (2, 8, 0.096, {}),
    "Standard_D2as_v5": (2, 8, 0.086, {}),
    "Standard_D4as_v5": (4, 16, 0.172, {}),
    "Standard_D4ps_v5": (4, 16, 0.154, {"CpuArchitectureType": "Arm64", "vCPUsPerCore": "1"}),
    "Standard_E8-4ds_v5": (8, 64, 0.576, {"vCPUsAvailable": "4"}),
    "Standard_F4s_v2": (4, 8, 0.169, {}),
    "Standard_F4ams_v6": (4, 32, 0.27, {"vCPUsPerCore": "1"}),
    "Standard_L8s_v3": (8, 64, 0.624, {}),
    "Standard_M8-2ms": (8, 218.75, 1.542, {"vCPUsAvailable": "2"}),
    "Standard_HB120rs_v3": (120, 456, 3.6, {"vCPUsPerCore": "1"}),
    "Standard_B2s_v2": (2, 8, 0.083, {}),
    "Standard_B2ms": (2, 8, 0.083, {"LowPriorityCapable": "False", "vCPUsPerCore": "1"}),
    "Standard_NC4as_T4_v3": (4, 28, 0.526, {"GPUs": "1", "vCPUsPerCore": "1"}),
    "Standard_NC24ads_A100_v4": (24, 220, 3.673, {"GPUs": "1", "vCPUsPerCore": "1"}),
    "Standard_NV6ads_A10_v5": (6, 55, 0.454, {"GPUs": "1"}),
}


def small_world() -> World:
    """Three regions (the last without zones), sixteen sizes in each, and every special case in the first."""
    world = World()
    for number, region in enumerate(("eastus", "westeurope", "brazilsouth")):
        factor, zones = 1 + 0.1 * number, "" if region == "brazilsouth" else "231"
        world.items[region] = [
            row for size, (_, _, usd_h, _) in _SIZES.items() for row in six(region, size, usd_h * factor)
        ]
        world.skus[region] = [
            sku(region, size, vcpus, gib, zones, **told) for size, (vcpus, gib, _, told) in _SIZES.items()
        ]
        world.skus[region].append({**sku(region, "Premium_LRS", 0, 0), "resourceType": "disks", "capabilities": None})
        world.evictions += [
            ("standard_d2s_v5", region, "0-5"),
            ("standard_d4as_v5", region, "10-15"),
            ("standard_e8-4ds_v5", region, "20+"),
        ]
    _with_traps(world)
    return world


def _with_traps(world: World) -> None:
    here = "eastus"
    spot = {"kind": " Spot"}
    world.items[here] += [
        item(here, "Standard_D2s_v5", 0.002, effectiveStartDate="2024-01-01T00:00:00Z", **spot),  # older
        item(here, "Standard_D2s_v5", 0.003, effectiveStartDate="2999-01-01T00:00:00Z", **spot),  # future
        item(here, "Standard_D2as_v5", 0.004, effectiveEndDate="2025-06-30T23:59:00Z", **spot),  # past
        item(here, "Standard_D4as_v5", 0.0, **spot),
        item(here, "", 0.005, **spot),
        item(here, "Standard_D4as_v5", 0.006, unitOfMeasure="1/Month", **spot),
        item(here, "Standard_F4s_v2", 0.007, system=" Cloud Services", **spot),
        item(here, "Standard_F4s_v2", 0.008, productName="Dedicated Host Reservation", **spot),
        # Two sizes share a meter, and the list has one in an unusual spelling.
        item(here, "Standard_D14_v2", 0.3, meterName="D14/DS14 v2 Spot", **spot),
        item(here, "STANDARD_DS14_v2", 0.31, meterName="D14/DS14 v2 Spot", **spot),
        item(here, "Standard_G5", 1.7, **spot),  # not a size of the region
        item(here, "Standard_NP10s", 0.4, **spot),
        item(here, "Standard_X9", 0.4, **spot),
        item(here, "Standard_D2s_v3", 0.5, type="DevTestConsumption", system=" Windows", **spot),
        item(here, "Standard_D2s_v3", 500.0, type="Reservation"),
    ]
    world.skus[here] += [
        sku(here, "Standard_D14_v2", 16, 112, "123", vCPUsPerCore="1"),
        not_allowed(sku(here, "Standard_DS14_v2", 16, 112, "213", vCPUsPerCore="1"), zones="3"),
        not_allowed(sku(here, "Standard_NP10s", 10, 168, "12")),
        {**sku(here, "Standard_X9", 9, 9), "capabilities": []},
    ]


def big_world(regions: int = 60, sizes: int = 1100) -> World:
    """About as large as the real one: every third region has all sizes, the others two thirds of them."""
    names = _many_sizes(sizes)
    world = World()
    for number in range(regions):
        region = f"region{number}"
        here = names if number % 3 == 0 else names[: 2 * sizes // 3]
        factor = 1 + number / 100
        world.items[region] = [row for size, vcpus, _ in here for row in six(region, size, 0.05 * vcpus * factor)]
        world.items[region] += six(region, "Standard_D2s_v3", 0.1 * factor)
        zones = "" if number % 4 == 3 else "123"
        world.skus[region] = [
            sku(region, size, n, gib, zones, further=True) for size, n, gib in here[: len(here) * 4 // 5]
        ]
        world.evictions += [
            (size.lower(), region, ("0-5", "5-10", "10-15", "15-20", "20+")[index % 5])
            for index, (size, _, _) in enumerate(here[::2])
        ]
    return world


def _many_sizes(count: int) -> list[tuple[str, int, float]]:
    """Return (name, vCPUs, GiB) of sizes with realistic names."""
    series = [
        *(("D", features, 4) for features in ("", "s", "d", "ds", "a", "as", "ads", "ps", "pds")),
        *(("D", features, 2) for features in ("ls", "lds", "als", "alds", "pls", "plds")),
        *(("E", features, 8) for features in ("", "s", "d", "ds", "as", "ads", "bs", "bds", "ps", "pds")),
    ]
    found = [
        (f"Standard_{letter}{vcpus}{features}_v{version}", vcpus, float(gib * vcpus))
        for version in (5, 4, 3, 6, 7, 8)
        for letter, features, gib in series
        for vcpus in (2, 4, 8, 16, 20, 32, 48, 64)
    ]
    return found[:count]
