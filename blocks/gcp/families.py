"""SKUs that each machine type is billed by: maps names of the Compute Engine API to names in Google's price list.

Only verified families are listed. Others have no spot VMs (m2, x4), or their SKUs are unverified (a4, a4x, h4d,
a3-ultragpu). Their types are dropped, since a guessed price could be far too low.
Sources: the price list itself (Cloud Billing API, services.skus.list) and Compute Engine's documentation, both 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

ANY_SSD = "any"  #: the local SSD SKU of all families without their own


@dataclass(frozen=True)
class Family:
    """How the machine types of one family are billed and built."""

    sku: str  #: text before 'Instance Core' in the descriptions of its core and RAM SKUs; '' if unknown
    threads: int = 2  #: vCPUs per physical core
    arm: bool = False  #: for types where the API gives no architecture
    gpu: bool = False  #: every type has GPUs, which are billed
    ssd: str = ANY_SSD  #: SKU of its bundled local SSDs


_UNKNOWN = Family("")

# By family, or by a prefix of type names that are billed differently: the longest match counts.
FAMILIES: dict[str, Family] = {
    "a2": Family("A2", gpu=True),
    "a3": Family("A3", gpu=True),
    "a3-edgegpu": _UNKNOWN,
    "a3-megagpu": Family("A3Plus", gpu=True),
    "a3-ultragpu": _UNKNOWN,
    "c2": Family("Compute optimized"),
    "c2d": Family("C2D AMD"),
    "c3": Family("C3"),
    "c3d": Family("C3D"),
    "c4": Family("C4", ssd="C4"),
    "c4a": Family("C4A Arm", threads=1, arm=True, ssd="C4A"),
    "c4d": Family("C4D", ssd="C4D"),
    "c4n": Family("C4N"),
    "e2": Family("E2"),
    "f1": Family("Micro"),
    "g1": Family("Small"),
    "g2": Family("G2", gpu=True),
    "g4": Family("G4", gpu=True),
    "h3": Family("H3", threads=1),
    "m1": Family("Memory-optimized"),
    "m3": Family("M3 Memory-optimized"),
    "m4": Family("M4"),
    "m4-ultramem-224": Family("M4Ultramem224"),
    "m4n": Family("M4N"),
    "n1": Family("N1 Predefined"),
    "n1-megamem": _UNKNOWN,  # old names of m1
    "n1-ultramem": _UNKNOWN,
    "n2": Family("N2"),
    "n2d": Family("N2D AMD"),
    "n4": Family("N4"),
    "n4a": Family("N4A", threads=1, arm=True),
    "n4d": Family("N4D"),
    "t2a": Family("T2A Arm", threads=1, arm=True),
    "t2d": Family("T2D AMD", threads=1),
    "z3": Family("Z3"),
}

# Types with one SKU for the whole machine.
WHOLE_VM: dict[str, str] = {
    "f1-micro": "Micro Instance with burstable CPU",
    "g1-small": "Small Instance with 1 VCPU",
}
# Shared-core types report 2 vCPUs, but are billed for a part.
BILLED_VCPUS: dict[str, float] = {"e2-micro": 0.25, "e2-small": 0.5, "e2-medium": 1.0}

# Accelerator type of the API: (card in blocks.gpus, GPU name in SKUs).
GPUS: dict[str, tuple[str, str]] = {
    "nvidia-l4": ("L4", "L4"),
    "nvidia-tesla-a100": ("A100", "Tesla A100"),
    "nvidia-a100-80gb": ("A100 80GB", "Tesla A100 80GB"),
    "nvidia-h100-80gb": ("H100", "H100 80GB"),
    "nvidia-h100-mega-80gb": ("H100", "H100 80GB Mega"),
    "nvidia-rtx-pro-6000": ("RTX PRO 6000", "RTX 6000 96GB"),
}
# Two names for one GPU: regions have one or the other, with the same A3Plus cores.
GPU_ALIASES: dict[str, str] = {"H100 80GB Plus": "H100 80GB Mega"}
# g4-standard-6, -12 and -24 have an eighth, a quarter and a half of a GPU, which the API's count cannot express.
VCPUS_OF_A_GPU: dict[str, int] = {"g4": 48}

SSD_GIB = 375.0  #: of one local SSD partition
SSD_GIB_OF_FAMILY: dict[str, float] = {"z3": 3000.0}
# Bare metal types have larger ones: GiB of the whole machine.
SSD_GIB_OF_TYPE: dict[str, float] = {
    "c4-highmem-288-lssd-metal": 18_000.0,
    "c4-standard-288-lssd-metal": 18_000.0,
    "z3-highmem-192-highlssd-metal": 72_000.0,
}
# Types with local SSDs, in addition to those with lssd (and not nolssd) in their names.
WITH_SSD: tuple[str, ...] = ("a2-ultragpu-", "a3-", "z3-")


def family_of(instance_type: str) -> Family:
    """Return how a type is billed, by the longest known prefix of its name; a family without a SKU if none is known."""
    parts = instance_type.split("-")
    beginnings = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((FAMILIES[name] for name in beginnings if name in FAMILIES), _UNKNOWN)
