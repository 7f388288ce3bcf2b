"""Data of the emulated Google: a small world with every documented special case, and one of realistic size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from tests.emulators.gcp_rows import EAST, EUROPE, US, core_and_ram, gpu, local_ssd, machine_type, sku
from tests.emulators.gcp_traps import TYPES, rare_types, skus


@dataclass
class World:
    """Rows in the APIs' format."""

    zones: dict[str, list[dict[str, Any]]]  #: machine types by zone
    skus: list[dict[str, Any]]
    preemption_rates: dict[tuple[str, str], list[float]] = field(default_factory=dict)  #: by type and zone, daily
    warnings: dict[str, str] = field(default_factory=dict)  #: zones with a warning code instead of a list
    project: str = "spotwave-test"
    machine_account: str = "spotwave-machine@spotwave-test.iam.gserviceaccount.com"
    no_external_ip: bool = False  #: by a policy of the organization
    quotas: dict[str, dict[str, tuple[float, float]]] = field(
        default_factory=dict
    )  #: by region and metric (followed by its family): limit, usage
    project_quotas: dict[str, tuple[float, float]] = field(default_factory=dict)  #: by metric: limit, usage
    closed: set[str] = field(default_factory=set)  #: regions forbidden by a policy of the organization
    lacks: set[str] = field(default_factory=set)  #: permissions that the launcher lacks


def dice(*what: object) -> float:
    """Return a number in [0, 1) that is always the same for the same arguments."""
    return crc32(" ".join(map(str, what)).encode()) / 2**32


def small_world() -> World:
    """Three regions; prices are round numbers, so that tests can add them."""
    usual = [row for row in TYPES if row["name"].startswith(("n2-", "e2-standard", "n1-"))]
    return World(
        zones={
            f"{US}-a": TYPES,
            f"{US}-b": [*usual, *rare_types()],
            f"{EUROPE}-a": TYPES,
            f"{EAST}-a": usual,
            f"{EAST}-c": [],
        },
        skus=skus(),
        preemption_rates={
            ("n2-standard-4", f"{US}-a"): [0.9] * 23 + [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07],
            ("n2-standard-8", f"{US}-a"): [0.0] * 23 + [0.1] * 7,
            ("e2-standard-2", f"{US}-a"): [0.3],
            ("n1-standard-4", f"{US}-a"): [],
        },
    )


_SIZES = (1, 2, 4, 8, 16, 22, 24, 30, 32, 44, 48, 60, 64, 80, 88, 90, 96, 112, 128, 176)
_KINDS = {"highcpu": 2, "standard": 4, "highmem": 8}
# Family: its name in SKUs.
_FAMILIES = {
    "n1": "N1 Predefined Instance",
    "n2": "N2 Instance",
    "n2d": "N2D AMD Instance",
    "n4": "N4 Instance",
    "e2": "E2 Instance",
    "c3": "C3 Instance",
    "c3d": "C3D Instance",
    "c4": "C4 Instance",
    "c4a": "C4A Arm Instance",
    "c4d": "C4D Instance",
    "t2d": "T2D AMD Instance",
    "g2": "G2 Instance",
}
_REGIONS, _ZONES, _ROWS, _SKUS = 40, "abc", 13_400, 40_000


def big_world() -> World:
    """As many regions, zones, machine types and SKUs as the real service: 27 pages of types, 8 of SKUs."""
    regions = [f"region-{number:02}" for number in range(_REGIONS)]
    zones = [f"{region}-{letter}" for region in regions for letter in _ZONES]
    kinds = [
        machine_type(
            f"{family}-{kind}-{vcpus}",
            vcpus,
            vcpus * gib,
            "ARM64" if family == "c4a" else "X86_64",
            gpu=("nvidia-l4", 1 + vcpus // 48) if family == "g2" else None,
        )
        for family in _FAMILIES
        for kind, gib in _KINDS.items()
        for vcpus in _SIZES
    ]
    listed: dict[str, list[dict[str, Any]]] = {}
    for number, zone in enumerate(zones):
        count = (number + 1) * _ROWS // len(zones) - number * _ROWS // len(zones)
        chosen = sorted(kinds, key=lambda row, zone=zone: dice(zone, row["name"]))[:count]  # type: ignore[misc]
        listed[zone] = sorted(chosen, key=lambda row: str(row["name"]))
    prices: list[dict[str, Any]] = []
    for region in regions:
        for name in _FAMILIES.values():
            prices += core_and_ram(name, 0.005 + 0.01 * dice(region, name), 0.001 + 0.001 * dice(name, region), region)
        prices += gpu("Nvidia L4 GPU", 0.2 + 0.1 * dice(region), region) + local_ssd(0.03, region)
    for number in range(_SKUS - len(prices)):
        region = regions[number % len(regions)]
        prices.append(
            [
                sku(f"N2 Custom Instance Core running in place {number}", "CPU", 0.03, [region], "OnDemand"),
                sku(f"Commitment v1: N2 Cpu in place {number} for 1 Year", "CPU", 0.02, [region], "Commit1Yr"),
                sku(f"Network Data Transfer Out from place {number}", "InterregionEgress", 0.1, [region], "OnDemand"),
                sku(f"Spot Preemptible X{number} Instance Ram running in place", "RAM", 0.001, [region], unit="GiBy.h"),
            ][number % 4]
        )
    prices.sort(key=lambda one: str(one["skuId"]))
    return World(zones=listed, skus=prices)
