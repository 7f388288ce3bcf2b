"""Prices of spot VMs in the emulated world, computed from its rows like real prices from the price list."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from spotwave.blocks.gcp.machine_types import TYPES
from spotwave.blocks.gcp.offers import offers
from spotwave.blocks.gcp.skus import unit_prices
from tests.emulators.gcp_world import World


def spot_prices(world: World) -> dict[tuple[str, str], float]:
    """Return USD/h by machine type and zone, without disk and address."""
    rows = []
    for zone, listed in world.zones.items():
        for row in listed:
            gpus = row.get("accelerators", [{}])[0]
            rows.append(
                {
                    "instance_type": row["name"],
                    "zone": zone,
                    "region": zone.rpartition("-")[0],
                    "vcpus": row["guestCpus"],
                    "memory_gib": row["memoryMb"] / 1024,
                    "burstable": row["isSharedCpu"],
                    "architecture": row.get("architecture", ""),
                    "accelerator": gpus.get("guestAcceleratorType"),
                    "accelerators": gpus.get("guestAcceleratorCount", 0),
                    "ssd_partitions": row.get("bundledLocalSsds", {}).get("partitionCount", 0),
                }
            )
    frame, _ = offers(pl.DataFrame(rows, TYPES), unit_prices(world.skus)[0], datetime.now(UTC))
    return {(kind, zone): usd for kind, zone, usd in frame.select("instance_type", "zone", "spot_usd_h").iter_rows()}
