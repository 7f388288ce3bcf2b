from __future__ import annotations

from typing import Any

import pytest

from spotwave.blocks.gcp.families import FAMILIES, family_of
from spotwave.blocks.gcp.skus import classified, unit_prices
from tests.emulators.gcp_rows import sku

WHERE = "running in Americas"


@pytest.mark.parametrize(
    ("description", "group", "usage", "kind"),
    [
        (f"Spot Preemptible N2 Instance Core {WHERE}", "CPU", "Preemptible", ("core", "N2", True)),
        (f"Preemptible N2 Instance Core {WHERE}", "CPU", "Preemptible", ("core", "N2", True)),
        (f"N2 Instance Core {WHERE}", "CPU", "OnDemand", ("core", "N2", False)),
        (f"Spot Preemptible A4 Instance Core {WHERE}", "CPU", "OnDemand", ("core", "A4", True)),
        (f"N1 Predefined Instance Ram {WHERE}", "N1Standard", "OnDemand", ("RAM", "N1 Predefined", False)),
        (f"Compute optimized Ram {WHERE}", "RAM", "OnDemand", ("RAM", "Compute optimized", False)),
        (f"Compute optimized Instance Ram {WHERE}", "RAM", "OnDemand", ("RAM", "Compute optimized", False)),
        (f"M3 Memory-optimized Instance Core {WHERE}", "CPU", "OnDemand", ("core", "M3 Memory-optimized", False)),
        (f"Nvidia L4 GPU {WHERE}", "GPU", "OnDemand", ("GPU", "L4", False)),
        (f"Nvidia L4 GPU attached to Spot Preemptible VMs {WHERE}", "GPU", "Preemptible", ("GPU", "L4", True)),
        (f"Nvidia H100 80GB Plus GPU {WHERE}", "GPU", "OnDemand", ("GPU", "H100 80GB Mega", False)),
        ("RTX 6000 96GB attached to Spot Preemptible VMs", "GPU", "Preemptible", ("GPU", "RTX 6000 96GB", True)),
        ("SSD backed Local Storage", "LocalSSD", "OnDemand", ("local SSD", "any", False)),
        (f"Spot Preemptible C4A Instance Local SSD {WHERE}", "LocalSSD", "Preemptible", ("local SSD", "C4A", True)),
        (f"N2 Custom Instance Core {WHERE}", "CPU", "OnDemand", None),
        (f"N2D AMD Custom Extended Ram {WHERE}", "RAM", "OnDemand", None),
        (f"Commitment v1: N2 Cpu {WHERE}", "CPU", "Commit1Yr", None),
        ("Reserved A2 Instance Core in Americas", "CPU", "OnDemand", None),
        (f"N2 Sole Tenancy Instance Core {WHERE}", "CPU", "OnDemand", None),
        (f"DWS Calendar Mode H4D Instance Core {WHERE}", "CPU", "OnDemand", None),
        (f"N2 Instance Core {WHERE}", "InterregionEgress", "OnDemand", None),
    ],
)
def test_description_determines_what_is_priced(description: str, group: str, usage: str, kind: Any) -> None:
    assert classified(sku(description, group, 1.0, ["us-central1"], usage)) == kind


@pytest.mark.parametrize("broken", [{}, {"category": None}, {"category": {"resourceGroup": "CPU"}}])
def test_sku_without_a_category_is_ignored(broken: dict[str, Any]) -> None:
    assert classified(broken) is None


def test_units_and_nanos_are_added_and_either_may_be_missing() -> None:
    core = f"Spot Preemptible N2 Instance Core {WHERE}"
    for usd in (2.25, 3.0, 0.25, 1e-9):
        prices, dropped = unit_prices([sku(core, "CPU", usd, ["us-central1", "us-west1"])])
        assert dropped == {}
        assert prices.sort("region").select("region", "spot_usd").rows() == [
            ("us-central1", pytest.approx(usd)),
            ("us-west1", pytest.approx(usd)),
        ]


def test_no_skus_give_no_prices() -> None:
    prices, dropped = unit_prices([])
    assert (prices.height, dropped) == (0, {})


@pytest.mark.parametrize(
    ("instance_type", "name"),
    [
        ("m4-ultramem-112", "M4"),
        ("m4-ultramem-224", "M4Ultramem224"),
        ("a3-highgpu-8g", "A3"),
        ("a3-megagpu-8g", "A3Plus"),
        ("a3-ultragpu-8g", ""),
        ("n1-standard-1", "N1 Predefined"),
        ("n1-ultramem-40", ""),
        ("n2-standard-2", "N2"),
        ("n2x-standard-2", ""),
        ("m2-ultramem-208", ""),
        ("x", ""),
    ],
)
def test_type_is_billed_by_the_longest_known_prefix_of_its_name(instance_type: str, name: str) -> None:
    assert family_of(instance_type).sku == name


def test_arm_families_have_whole_cores() -> None:
    assert all(family.threads == 1 for family in FAMILIES.values() if family.arm)
