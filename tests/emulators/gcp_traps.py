"""The small world's machine types and SKUs: one of each kind, and every known special case."""

from __future__ import annotations

from typing import Any

from tests.emulators.gcp_rows import EAST, EUROPE, US, both, core_and_ram, gpu, local_ssd, machine_type, sku

TYPES: list[dict[str, Any]] = [
    machine_type("n1-standard-4", 4, 15, architecture=None),
    machine_type("n1-ultramem-40", 40, 961, state="DEPRECATED"),
    machine_type("n2-standard-4", 4, 16),
    machine_type("n2-standard-8", 8, 32),
    machine_type("n2d-standard-4", 4, 16),
    machine_type("e2-standard-2", 2, 8),
    # Two vCPUs in the guest, fewer on the bill.
    machine_type("e2-micro", 2, 1, shared=True),
    machine_type("e2-small", 2, 2, shared=True),
    machine_type("e2-medium", 2, 4, shared=True),
    machine_type("f1-micro", 1, 0.6, shared=True),
    machine_type("g1-small", 1, 1.7, shared=True),
    machine_type("c2-standard-8", 8, 32),
    machine_type("c3-standard-8-lssd", 8, 32, ssd=2),
    machine_type("c3-standard-192-metal", 192, 768),
    machine_type("c4-standard-4-lssd", 4, 15, ssd=1),
    machine_type("c4-standard-288-lssd-metal", 288, 1080, ssd=6),
    machine_type("c4d-standard-8", 8, 31),
    machine_type("c4a-standard-4", 4, 16, "ARM64"),
    machine_type("t2a-standard-4", 4, 16, architecture=None),
    machine_type("t2d-standard-4", 4, 16),
    machine_type("z3-highmem-14-standardlssd", 14, 112, ssd=1),
    machine_type("a2-highgpu-1g", 12, 85, gpu=("nvidia-tesla-a100", 1)),
    machine_type("a2-ultragpu-1g", 12, 170, gpu=("nvidia-a100-80gb", 1), ssd=1),
    machine_type("a3-megagpu-8g", 208, 1872, gpu=("nvidia-h100-mega-80gb", 8), ssd=16),
    machine_type("g2-standard-4", 4, 16, gpu=("nvidia-l4", 1)),
    machine_type("g4-standard-12", 12, 45, gpu=("nvidia-rtx-pro-6000", 1)),
    machine_type("m4-ultramem-112", 112, 2976),
    machine_type("m4-ultramem-224", 224, 5952),
]


def rare_types() -> list[dict[str, Any]]:
    """Return types that cannot be priced, each for a different reason."""
    return [
        machine_type("m2-ultramem-208", 208, 5888),
        machine_type("h4d-standard-192", 192, 720),
        machine_type("a3-ultragpu-8g", 224, 2952, gpu=("nvidia-h200-141gb", 8), ssd=32),
        machine_type("z9-standard-2", 2, 8),
        machine_type("n4-standard-2", 2, 8),  # a core SKU, no RAM
        machine_type("e2-nano", 2, 0.5, shared=True),
        machine_type("g2-standard-8", 8, 32),  # without its GPU
        machine_type("a2-mysterygpu-1g", 12, 85, gpu=("nvidia-b900", 1)),
        machine_type("c3-standard-4-lssd", 4, 16),  # without its partitions
        machine_type("c2-standard-16", 16, 64, state="OBSOLETE"),
    ]


def skus() -> list[dict[str, Any]]:
    return [*_usual(US), *_usual(EUROPE), *_america(), *_europe(), *_east(), *_not_for_sale(), *_broken()]


def _usual(region: str) -> list[dict[str, Any]]:
    """Return the SKUs that are the same in both regions."""
    return [
        *core_and_ram("N1 Predefined Instance", 0.007, 0.001, region),
        *core_and_ram("N2 Instance", 0.01, 0.002, region),
        *core_and_ram("E2 Instance", 0.008, 0.001, region),
        *both("Micro Instance with burstable CPU", "F1Micro", 0.0012, region),
        *both("Small Instance with 1 VCPU", "G1Small", 0.0024, region),
        *core_and_ram("Compute optimized", 0.02, 0.003, region),
        *core_and_ram("C3 Instance", 0.012, 0.001, region),
        *core_and_ram("C4 Instance", 0.013, 0.001, region),
        *both("C4 Instance Local SSD", "LocalSSD", 0.0365, region, "GiBy.mo"),
        *core_and_ram("C4D Instance", 0.014, 0.001, region, ram_unit="GBy.h"),
        *core_and_ram("C4A Arm Instance", 0.011, 0.001, region),
        *core_and_ram("T2A Arm Instance", 0.009, 0.001, region),
        *core_and_ram("T2D AMD Instance", 0.015, 0.001, region),
        *core_and_ram("Z3 Instance", 0.016, 0.001, region),
        *core_and_ram("A2 Instance", 0.02, 0.002, region),
        *core_and_ram("A3Plus Instance", 0.015, 0.0013, region),
        *core_and_ram("G2 Instance", 0.01, 0.001, region),
        *core_and_ram("G4 Instance", 0.01, 0.001, region),
        *core_and_ram("M4 Instance", 0.02, 0.001, region),
        *core_and_ram("M4Ultramem224 Instance", 0.03, 0.002, region),
        *core_and_ram("Memory-optimized Instance", 0.01, 0.001, region),
        *gpu("Nvidia Tesla A100 GPU", 0.9, region),
        *gpu("Nvidia Tesla A100 80GB GPU", 1.5, region),
        *gpu("RTX 6000 96GB", 1.2, region),
    ]


def _america() -> list[dict[str, Any]]:
    return [
        # The earlier price was higher; the free tier does not count.
        sku("Spot Preemptible N2D AMD Instance Core running in Americas", "CPU", 0.006, [US], before=0.06),
        sku("Spot Preemptible N2D AMD Instance Ram running in Americas", "RAM", [0, 0.001], [US], unit="GiBy.h"),
        sku("N2D AMD Instance Ram running in Americas", "RAM", 0.004, [US], "OnDemand", "GiBy.h"),
        *local_ssd(0.0292, US),
        *gpu("Nvidia L4 GPU", 0.28, US),
        *gpu("Nvidia H100 80GB Mega GPU", 4.0, US),
        *both("N4 Instance Core", "CPU", 0.01, US),
    ]


def _europe() -> list[dict[str, Any]]:
    """Return SKUs without spot for the L4, for N2D's cores and for local SSD."""
    return [
        sku("Nvidia L4 GPU running in Netherlands", "GPU", 0.6, [EUROPE], "OnDemand"),
        sku("N2D AMD Instance Core running in Netherlands", "CPU", 0.03, [EUROPE], "OnDemand"),
        *both("N2D AMD Instance Ram", "RAM", 0.001, EUROPE, "GiBy.h"),
        *gpu("Nvidia H100 80GB Plus GPU", 4.1, EUROPE),
    ]


def _east() -> list[dict[str, Any]]:
    """Return a region with two names and two prices, and parts whose spot price is above on demand."""
    return [
        *core_and_ram("N2 Instance", 0.011, 0.002, EAST),
        *both("N2 Instance Core", "CPU", 0.009, EAST, city="Virginia"),
        *both("N2 Instance Ram", "RAM", 0.003, EAST, "GiBy.h", city="Virginia"),
        *core_and_ram("E2 Instance", 0.008, 0.001, EAST),
        sku("Spot Preemptible N1 Predefined Instance Core running in Virginia", "N1Standard", 0.07, [EAST]),
        sku(
            "Spot Preemptible N1 Predefined Instance Ram running in Virginia", "N1Standard", 0.01, [EAST], unit="GiBy.h"
        ),
        sku("N1 Predefined Instance Core running in Virginia", "N1Standard", 0.03, [EAST], "OnDemand"),
        sku("N1 Predefined Instance Ram running in Virginia", "N1Standard", 0.004, [EAST], "OnDemand", "GiBy.h"),
    ]


def _not_for_sale() -> list[dict[str, Any]]:
    """Return SKUs of other products; their high prices reveal a wrong classification."""
    where = [US, EUROPE, EAST]
    return [
        sku("Spot Preemptible N2 Custom Instance Core running in Americas", "CPU", 9, where),
        sku("Spot Preemptible Custom Instance Core running in Americas", "CPU", 9, where),
        sku("N2 Custom Extended Instance Ram running in Americas", "RAM", 9, where, "OnDemand", "GiBy.h"),
        sku("N2 Instance Core Sole Tenancy running in Americas", "CPU", 9, where, "OnDemand"),
        sku("Sole Tenancy Premium for N2 Instance Core running in Americas", "CPU", 9, where, "OnDemand"),
        sku("Reserved N2 Instance Core in Americas", "CPU", 9, where, "OnDemand"),
        sku("Commitment v1: N2 Cpu in Americas for 1 Year", "CPU", 9, where, "Commit1Yr"),
        sku("N2 Instance Core running in Americas", "CPU", 9, where, "Commit1Yr"),
        sku("DWS Calendar Mode A2 Instance Core running in Americas", "CPU", 9, where, "OnDemand"),
        sku("A2 Instance Core running in Americas - DWS Flex Start", "CPU", 9, where, "OnDemand"),
        sku("N2 Instance Ram running in Americas - suspended", "RAM", 9, where, "OnDemand", "GiBy.h"),
        sku("Memory Optimized Upgrade Premium for Memory-optimized Instance Core running in Americas", "CPU", 9, where),
        sku("Nvidia L4 GPU attached to DWS Defined Duration VMs running in Americas", "GPU", 9, where),
        sku("Network Inter Region Data Transfer Out from Americas to Paris", "InterregionEgress", 9, where, "OnDemand"),
        sku("Licensing Fee for Windows Server 2025 (CPU cost)", "Google", 9, ["global"], "OnDemand"),
        sku("External IP Charge on a Spot Preemptible VM", "IpAddress", 9, ["global"]),
    ]


def _broken() -> list[dict[str, Any]]:
    priceless = sku("Spot Preemptible E2 Instance Core running in Americas", "CPU", 9, [US])
    priceless["pricingInfo"] = []
    return [
        priceless,
        sku("Spot Preemptible E2 Instance Core running in Utopia", "CPU", 0, [US]),
        sku("Spot Preemptible E2 Instance Ram running in Americas", "RAM", 9, [US], unit="count"),
        sku("Spot Preemptible E2 Instance Ram running in Americas", "RAM", 9, [US], unit="GiBy.h", currency="EUR"),
    ]
