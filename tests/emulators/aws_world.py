"""Data of the emulated Amazon: a small world with every documented special case, and one of realistic size."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.emulators.aws_rows import (
    dice,
    gpus,
    on_demand_usd_h,
    price_row,
    product_row,
    shape,
    spot_price,
    zone_row,
)

EARLIEST = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OLD = {"CurrentGeneration": False, "Hypervisor": "xen", "SupportedBootModes": ["legacy-bios"]}
RANGES = [
    {"index": 0, "label": "<5%", "dots": 0, "max": 5},
    {"index": 1, "label": "5-10%", "dots": 1, "max": 11},
    {"index": 2, "label": "10-15%", "dots": 2, "max": 16},
    {"index": 3, "label": "15-20%", "dots": 3, "max": 22},
    {"index": 4, "label": ">20%", "dots": 4, "max": 100},
]


@dataclass
class World:
    """By region if a dict's key is a str; rows in boto3's format."""

    zones: dict[str, list[dict[str, Any]]]
    types: dict[str, dict[str, Any]]
    offered: dict[str, list[str]]
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  #: every product, every change
    products: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  #: of the price list
    advisor: dict[str, dict[str, Any]] = field(default_factory=dict)  #: {type: {"s": %, "r": index}}
    not_enabled: list[str] = field(default_factory=list)

    @property
    def regions(self) -> list[str]:
        return list(self.zones)

    def spot_usd_h(self, region: str, zone: str, name: str) -> float:
        """The newest Linux price of a type in a zone."""
        prices = [
            (row["Timestamp"], row["SpotPrice"])
            for row in self.history[region]
            if (row["AvailabilityZone"], row["InstanceType"]) == (zone, name)
            and row["ProductDescription"].startswith("Linux/UNIX")
        ]
        return float(max(prices)[1])


def usual(world: World, terms: int) -> World:
    """Add a price in every zone, an on-demand price and an advisor's rate for every type that has spot."""
    for region, names in world.offered.items():
        sold = [world.types[name] for name in names if "spot" in world.types[name]["SupportedUsageClasses"]]
        world.history[region] = [
            price_row(
                zone,
                row["InstanceType"],
                spot_price(region, zone["ZoneName"], row),
                EARLIEST + timedelta(minutes=int(8640 * dice(region, row["InstanceType"]))),
            )
            for row in sold
            for zone in world.zones[region]
        ]
        world.products[region] = [
            product_row(region, row["InstanceType"], on_demand_usd_h(region, row), terms) for row in sold
        ]
        world.advisor[region] = {
            row["InstanceType"]: {"s": 70, "r": int(5 * dice("advisor", region, row["InstanceType"]))} for row in sold
        }
    return world


def small_world() -> World:
    """Three regions, some thirty types; every documented special case once, in us-east-1 unless noted otherwise."""
    sizes = [("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16)]
    shapes = [
        *(shape(f"c7i.{size}", vcpus, 2 * vcpus) for size, vcpus in sizes),
        *(shape(f"m7i.{size}", vcpus, 4 * vcpus) for size, vcpus in sizes),
        *(shape(f"m6g.{size}", vcpus, 4 * vcpus, "arm64") for size, vcpus in sizes),
        *(shape(f"t3.{size}", vcpus, 4 * vcpus, BurstablePerformanceSupported=True) for size, vcpus in sizes[:2]),
        shape("c7i.metal-24xl", 96, 192, BareMetal=True),
        shape("g4dn.xlarge", 4, 16, GpuInfo=gpus("T4", 1, 16384)),
        shape("g6.12xlarge", 48, 192, GpuInfo=gpus("L4", 4, 22888)),
        shape("g6f.large", 2, 8, GpuInfo=gpus("L4", 1, 2861, share=0.125)),
        shape("g4ad.xlarge", 4, 16, GpuInfo=gpus("Radeon Pro V520", 1, 8192, maker="AMD")),
        shape("p4d.24xlarge", 96, 1152, GpuInfo=gpus("A100", 8, 40960)),
        shape("p4de.24xlarge", 96, 1152, GpuInfo=gpus("A100", 8, 81920)),
        # An older generation that boots Spotwave's image (as in DescribeInstanceTypes of 2025).
        shape("c4.large", 2, 3.75, **_OLD),
        # Unusable, each for a different reason.
        shape("dl1.24xlarge", 96, 768, GpuInfo=gpus("Gaudi HL-205", 8, 32768, maker="Habana")),
        shape("inf2.xlarge", 4, 16, NeuronInfo={"TotalNeuronDeviceMemoryInMiB": 32768}),
        shape("f2.6xlarge", 24, 256, FpgaInfo={"TotalFpgaMemoryInMiB": 16384}),
        shape("hpc7a.96xlarge", 192, 768, SupportedUsageClasses=["on-demand"]),
        shape("mac2.metal", 8, 16, "arm64_mac", SupportedUsageClasses=["on-demand"], BareMetal=True),
        shape(
            "m1.small",
            1,
            1.7,
            **_OLD,
            SupportedVirtualizationTypes=["hvm", "paravirtual"],
            ProcessorInfo={"SupportedArchitectures": ["i386", "x86_64"]},
        ),
        # Only in ap-south-1.
        shape("r8g.large", 2, 16, "arm64"),
    ]
    types = {row["InstanceType"]: row for row in shapes}
    common = [name for name in types if name != "r8g.large"]
    world = usual(
        World(
            zones={
                "us-east-1": [zone_row("us-east-1", letter) for letter in "abc"],
                "eu-west-1": [zone_row("eu-west-1", letter) for letter in "ab"],
                "ap-south-1": [zone_row("ap-south-1", letter) for letter in "ab"],
            },
            types=types,
            offered={"us-east-1": common, "eu-west-1": common[:20], "ap-south-1": [*common[:10], "r8g.large"]},
            not_enabled=["me-south-1"],
        ),
        terms=2,
    )
    return _with_traps(world)


def _with_traps(world: World) -> World:
    region, history = "us-east-1", world.history["us-east-1"]
    a, b, c = world.zones[region]
    local = zone_row(region, "-bos-1a", ZoneType="local-zone", ZoneId="use1-bos1-az1")
    impaired = zone_row(region, "d", State="impaired")
    unlisted = zone_row(region, "-wl1-chi-wlz-1")
    world.zones[region] += [local, impaired]
    at = EARLIEST + timedelta(days=6)
    for zone in (local, impaired, unlisted):
        history.append(price_row(zone, "c7i.large", "0.001000", at))
    # Without a start time older prices are listed too; and the last one always is, after the newer ones.
    stale = price_row(a, "c7i.large", "0.000900", EARLIEST - timedelta(days=80))
    history += [{**stale, "SpotPrice": f"0.0{day}0000", "Timestamp": at - timedelta(days=day)} for day in range(7, 10)]
    history.append({**stale, "Always": True})
    for product, price in (("Windows", "0.001100"), ("Red Hat Enterprise Linux", "0.001200"), ("SUSE Linux", "0.0013")):
        history.append(price_row(b, "c7i.large", price, at, product))
    for name, price in (("m7i.large", "n/a"), ("m7i.xlarge", "0.000000"), ("m7i.2xlarge", "99.000000")):
        listed = next(
            row for row in history if row["InstanceType"] == name and row["AvailabilityZone"] == c["ZoneName"]
        )
        listed["SpotPrice"] = price
    history.append(price_row(a, "z99.large", "0.010000", at))  # sold, but without a known shape
    history.append(price_row(a, "hpc7a.96xlarge", "0.500000", at))
    # Spelling in old accounts; the server's filter treats it as the same.
    next(row for row in history if row["InstanceType"] == "m6g.large")["ProductDescription"] = "Linux/UNIX (Amazon VPC)"
    for attributes in (
        {"operatingSystem": "Windows"},
        {"tenancy": "Dedicated"},
        {"preInstalledSw": "SQL Web"},
        {"capacitystatus": "UnusedCapacityReservation"},
        {"marketoption": "CapacityBlock"},
    ):
        world.products[region].append(product_row(region, "c7i.large", 0.0001, **attributes))
    world.products[region].append(product_row(region, "c7i.large", 0.0, usagetype="Reservation:c7i.large"))
    # Missing in the price list, and in the advisor.
    world.products[region] = [
        one for one in world.products[region] if one["product"]["attributes"]["instanceType"] != "g6f.large"
    ]
    del world.advisor[region]["m6g.large"]
    world.advisor[region] |= {
        "c7i.large": {"s": 60, "r": 0},
        "c7i.xlarge": {"s": 60, "r": 1},
        "c7i.2xlarge": {"s": 60, "r": 2},
        "c7i.4xlarge": {"s": -2, "r": 3},
        "m7i.large": {"s": 60, "r": 4},
        "m7i.xlarge": {"s": 60, "r": 9},
    }
    return world


def big_world() -> World:
    """34 regions, 900 types in us-east-1 and 150 to 900 elsewhere, 3 to 6 zones, real shapes from moto's data."""
    import moto

    path = Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz"
    types: dict[str, dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    regions = [
        "us-east-1",
        *(f"{area}-{number}" for number in range(1, 12) for area in ("eu-north", "ap-south", "us-west")),
    ]
    most = {region: 900 if region == "us-east-1" else 150 + int(750 * dice(region)) for region in regions}
    return usual(
        World(
            zones={
                region: [zone_row(region, letter) for letter in "abcdef"[: 6 if place == 0 else 3 + place % 4 // 3]]
                for place, region in enumerate(regions)
            },
            types=types,
            offered={
                region: sorted(sorted(types, key=lambda name: dice(name, int(3 * dice(region))))[:count])
                for region, count in most.items()
            },
        ),
        terms=12,
    )
