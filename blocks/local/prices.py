"""Market of the local cloud: a few sizes of machine, up to the whole host."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime

import psutil

from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.local.memory import share_gib
from spotwave.blocks.market import Market
from spotwave.blocks.models import Architecture, Offer

KIND = "local"
REGION = "here"
INTERRUPTIONS_PER_H = 0.001
BOOT_S = 10.0  # measured: from launch to the worker's first poll
_ARCHITECTURES: dict[str, Architecture] = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}


def host_vcpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sizes(vcpus: int) -> list[int]:
    """Return the powers of two below the host's CPUs, then all of them: 6 -> 1, 2, 4, 6."""
    return [*(2**n for n in range(vcpus.bit_length()) if 2**n < vcpus), vcpus]


def local_market(prices: Mapping[str, float], notice_s: float, vcpus: int, memory_gib: float) -> Market:
    """Return the offers `local-<vCPUs>`, memory in proportion. `prices`: USD/h by instance type, 0 if not listed.

    On-demand costs the same, since there is no spot discount. Interruptions are rare, since only the user causes them.
    Raises MarketUnavailable on a CPU architecture that Spotwave does not support.
    """
    architecture = _ARCHITECTURES.get(platform.machine().lower())
    if architecture is None:
        raise MarketUnavailable(f"local: the architecture {platform.machine()} is neither x86_64 nor arm64")
    now = datetime.now(UTC)
    threads_per_core = max(
        1.0, (psutil.cpu_count() or 1) / (psutil.cpu_count(logical=False) or psutil.cpu_count() or 1)
    )
    offers = []
    for size in sizes(vcpus):
        name = f"local-{size}"
        price = prices.get(name, 0.0)
        offers.append(
            Offer(
                cloud=KIND,
                instance_type=name,
                region=REGION,
                family=KIND,
                vcpus=size,
                cores=size / threads_per_core,
                memory_gib=share_gib(memory_gib, size, vcpus),
                architecture=architecture,
                spot_usd_h=price,
                on_demand_usd_h=price,
                interruptions_per_h=INTERRUPTIONS_PER_H,
                interruption_basis="assumed: this computer is shut down or restarted every six weeks",
                notice_s=notice_s,
                boot_s=BOOT_S,
                seen_at=now,
            )
        )
    return Market.of(offers)
