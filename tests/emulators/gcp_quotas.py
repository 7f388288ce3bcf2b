"""Quotas of Compute Engine, counted like the service does, and its errors when one is exceeded.

Spot VMs count against PREEMPTIBLE_CPUS of their region, all families together. If there is none, they count against the
ordinary quotas: the family's own metric, CPUS for the first generation and E2, and CPUS_PER_VM_FAMILY for families from
after 2023. CPUS_ALL_REGIONS and GPUS_ALL_REGIONS are the project's. Sources: Compute Engine, "Allocation quotas"; Quota
and QuotaExceededInfo of the API v1. A metric that a test does not set is unlimited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.emulators.gcp_world import World

_OWN = {"n2", "n2d", "t2a", "t2d", "c2", "c2d", "c3", "a2", "m1", "m2", "m3"}
_GENERAL = {"n1", "e2", "f1", "g1"}
_PLENTY = 1e9


@dataclass(frozen=True)
class Limit:
    """One quota with its dimensions; without dimensions it is the project's."""

    metric: str
    dimensions: tuple[tuple[str, str], ...] = ()

    @property
    def error(self) -> tuple[str, str]:
        """The quota's id and its metric, as in the errors' details."""
        dashed, where = self.metric.replace("_", "-"), "-per-project" + "-region" * bool(self.dimensions)
        return f"{dashed}{where}", f"compute.googleapis.com/{self.metric.lower()}"


def too_much(
    world: World, zone: str, machine_type: str, others: Iterable[tuple[str, str]]
) -> tuple[str, list[dict[str, Any]]] | None:
    """Return (message, details) of the first quota that one more machine exceeds; others: (type, zone) of those that
    run."""
    running = list(others)
    for limit, amount in _counted(world, zone, machine_type):
        used = sum(
            its_amount
            for its_type, its_zone in running
            for its_limit, its_amount in _counted(world, its_zone, its_type)
            if its_limit == limit
        )
        most, before = _most(world, limit)
        if before + used + amount > most:
            where = f"in region {dict(limit.dimensions)['region']}" if limit.dimensions else "globally"
            name, metric = limit.error
            told = {"metricName": metric, "limitName": name, "dimensions": dict(limit.dimensions), "limit": most}
            return f"Quota '{limit.metric}' exceeded.  Limit: {most:.1f} {where}.", [{"quotaInfo": told}]
    return None


def _counted(world: World, zone: str, machine_type: str) -> Iterator[tuple[Limit, float]]:
    row = next(one for one in world.zones[zone] if one["name"] == machine_type)
    region, family, vcpus = zone.rpartition("-")[0], machine_type.partition("-")[0], float(row["guestCpus"])
    here = (("region", region),)
    if world.quotas.get(region, {}).get("PREEMPTIBLE_CPUS", (_PLENTY, 0.0))[0] > 0:
        yield Limit("PREEMPTIBLE_CPUS", here), vcpus
    elif family in _OWN:
        yield Limit(f"{family.upper()}_CPUS", here), vcpus
    elif family in _GENERAL:
        yield Limit("CPUS", here), vcpus
    else:
        yield Limit("CPUS_PER_VM_FAMILY", (*here, ("vm_family", family.upper()))), vcpus
    yield Limit("CPUS_ALL_REGIONS"), vcpus
    for gpu in row.get("accelerators", []):
        yield Limit("GPUS_ALL_REGIONS"), float(gpu["guestAcceleratorCount"])


def _most(world: World, limit: Limit) -> tuple[float, float]:
    """Return (limit, usage by others)."""
    where = dict(limit.dimensions)
    if not where:
        return world.project_quotas.get(limit.metric, (_PLENTY, 0.0))
    metric = f"{limit.metric} {where['vm_family']}" if "vm_family" in where else limit.metric
    return world.quotas.get(where["region"], {}).get(metric, (_PLENTY, 0.0))
