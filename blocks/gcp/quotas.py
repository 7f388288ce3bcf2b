"""Quotas of Compute Engine that a spot VM counts against, and the mapping from the quota in a refusal.

Spot counts against PREEMPTIBLE_CPUS of the region, all families together. If the project has no such quota, it counts
against the ordinary quotas: that of the family, or CPUS for families without one. CPUS_ALL_REGIONS and GPUS_ALL_REGIONS
are the project's. Sources: Compute Engine, "Allocation quotas" (CPU quota, GPU quota, quotas for preemptible
resources); Compute Engine API v1, Quota.metric and QuotaExceededInfo (metric, limit's name, dimensions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from spotwave.blocks.gcp.images import disk_type_of
from spotwave.blocks.models import Offer

_OF_CPUS = ("e2", "f1", "g1", "n1")  # families that share CPUS
_GPUS = re.compile(r"(?:PREEMPTIBLE_)?(?:NVIDIA_\w+_GPUS|GPUS_PER_GPU_FAMILY)")
PER_FAMILY = "CPUS_PER_VM_FAMILY"
EVERYWHERE = ("CPUS_ALL_REGIONS", "GPUS_ALL_REGIONS")
_OF_EVERY_MACHINE = ("INSTANCES", "IN_USE_ADDRESSES")


def quotas_of(offer: Offer) -> dict[str, float]:
    """Return how much an offer uses of every quota that it may count against, by metric. For a quota per family or per
    GPU, the name continues with the family or the prefix of the GPU's types."""
    family = _family(offer.instance_type)
    takes = dict.fromkeys(_OF_EVERY_MACHINE, 1.0)
    metrics = ["PREEMPTIBLE_CPUS", "CPUS_ALL_REGIONS", f"{family.upper()}_CPUS", f"{PER_FAMILY} {family.upper()}"]
    takes |= dict.fromkeys(metrics + ["CPUS"] * (family in _OF_CPUS), float(offer.vcpus))
    if disk_type_of(offer.instance_type).startswith("pd-"):
        takes["SSD_TOTAL_GB"] = 1.0  # nominal: boot disks have the same size for all offers
    if offer.gpu_count > 0:
        takes |= {"GPUS_ALL_REGIONS": offer.gpu_count, _model(offer.instance_type): offer.gpu_count}
    return takes


def quota_named(metric: str, dimensions: Mapping[str, str], instance_type: str) -> str:
    """Return the name in `quotas_of` for the quota in a refusal of that type; without dimensions the narrowest."""
    if metric == PER_FAMILY:
        return f"{metric} {(dimensions.get('vm_family') or _family(instance_type)).upper()}"
    return _model(instance_type) if _GPUS.fullmatch(metric) else metric


def _family(instance_type: str) -> str:
    return instance_type.partition("-")[0]


def _model(instance_type: str) -> str:
    """Return the prefix that all types with one GPU share: a2-highgpu, a2-ultragpu, a3-megagpu, g2-standard."""
    return f"GPUS {'-'.join(instance_type.split('-')[:2])}"
