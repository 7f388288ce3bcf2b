"""Shape of a size from its name alone, for blocks without credentials; only for series with regular names.

Memory per vCPU is from the size documentation, series by series; checked against recorded Resource SKUs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from spotwave.blocks.azure.gpus import gpus
from spotwave.blocks.azure.size_names import Name, is_burstable, parsed
from spotwave.blocks.models import Architecture


@dataclass(frozen=True)
class Shape:
    vcpus: int
    cores: float
    memory_gib: float
    architecture: Architecture
    gpu: str | None = None
    gpu_count: float = 0.0
    gpu_memory_gib: float | None = None
    burstable: bool = False


@lru_cache(maxsize=4096)
def shape(size: str) -> Shape | None:
    """Return vCPUs, cores, memory (GiB), architecture and GPUs of a size; None if its name is ambiguous."""
    name = parsed(size)
    if name is None or name.tier != "Standard":
        return None
    if name.series.startswith("N"):
        return _with_gpu(size, name)
    gib_a_vcpu = _gib_a_vcpu(name)
    if gib_a_vcpu is None:
        return None
    vcpus = name.constrained or name.number
    arm = "p" in name.features
    return Shape(
        vcpus=vcpus,
        cores=vcpus / (1 if arm or _without_threads(name) else 2),
        memory_gib=name.number * gib_a_vcpu,
        architecture="arm64" if arm else "x86_64",
        burstable=is_burstable(size),
    )


def _gib_a_vcpu(name: Name) -> float | None:
    """Return GiB per vCPU of the full machine."""
    features, version = name.features, name.version
    if name.rest != f"_v{version}":
        return None
    match name.series:
        case "D" if version >= 3 and re.fullmatch(r"a?p?l?d?s?", features):
            if "p" in features and version == 5 and name.number > 48 and "l" not in features:
                return None  # the largest sizes have less
            return 2.0 if "l" in features else 4.0
        case "E" if version >= 3 and re.fullmatch(r"a?p?b?d?s?", features):
            if name.number > (20 if "p" in features and version == 5 else 48):
                return None  # large sizes have irregular memory
            return 8.0
        case "F" if version == 2 and features == "s":
            return 2.0
        case "F" if version >= 6 and (found := re.fullmatch(r"a([lm]?)d?s", features)):
            return {"l": 2.0, "": 4.0, "m": 8.0}[found[1]]
        case "L" if version >= 2 and re.fullmatch(r"a?o?s", features):
            return 8.0
        case "B" if version == 2 and (found := re.fullmatch(r"[ap]?([lt]?)s", features)):
            return {"t": 0.5, "l": 2.0, "": 4.0}[found[1]]
    return None


def _without_threads(name: Name) -> bool:
    """Whether a vCPU is a whole core: true for F of AMD from v6 on (and why there are sizes with one vCPU)."""
    return name.series == "F" and name.version >= 6


# Sizes of series with a GPU: (memory in GiB, vCPUs per core), by name without the number.
_GPU_SIZES: dict[str, tuple[dict[int, float], int]] = {
    "NCas_T4_v3": ({4: 28, 8: 56, 16: 110, 64: 440}, 1),
    "NCads_A100_v4": ({24: 220, 48: 440, 96: 880}, 1),
    "NCads_H100_v5": ({40: 320}, 1),
    "NCadis_H100_v5": ({80: 640}, 1),
    "NVads_A10_v5": ({6: 55, 12: 110, 18: 220, 36: 440, 72: 880}, 2),
    "NVadms_A10_v5": ({36: 880}, 2),
}


def _with_gpu(size: str, name: Name) -> Shape | None:
    memory, threads = _GPU_SIZES.get(f"{name.series}{name.features}{name.rest}", ({}, 1))
    if name.number not in memory or name.constrained is not None:
        return None
    found, vcpus = gpus(size), name.number
    if found is None or found.card is None or found.count is None:
        return None
    card, count = found.card, found.count
    return Shape(vcpus, vcpus / threads, memory[vcpus], "x86_64", card.name, count, card.part_gib(count))
