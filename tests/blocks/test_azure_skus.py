"""Resource SKUs as sizes: shapes, zones and restrictions."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from spotwave.blocks.azure.pages import listed
from spotwave.blocks.azure.skus import NO_GPU, NO_SHAPE, NO_SHARE, NOT_ALLOWED, NOT_SPOT, SIZES, SKU, sizes
from tests.emulators.azure_world import not_allowed, sku


def read(*rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    page, _ = listed(json.dumps({"value": rows}).encode(), "value", "nextLink", SKU)
    return {row["instance_type"]: row for row in sizes(page, "eastus").to_dicts()}


def test_constrained_size_has_its_available_vcpus() -> None:
    size = read(sku("eastus", "Standard_E8-4ds_v5", 8, 64, "312", vCPUsAvailable="4"))["Standard_E8-4ds_v5"]

    assert (size["vcpus"], size["cores"], size["memory_gib"]) == (4, 2.0, 64.0)
    assert (size["size"], size["zones"], size["why_not"]) == ("standard_e8-4ds_v5", ["1", "2", "3"], None)


def test_architectures_and_gpus() -> None:
    found = read(
        sku("eastus", "Standard_D4ps_v5", 4, 16, CpuArchitectureType="Arm64", vCPUsPerCore="1"),
        sku("eastus", "Standard_NV6ads_A10_v5", 6, 55, GPUs="1"),
        sku("eastus", "Standard_NC48ads_A100_v4", 48, 440, GPUs="2"),
        sku("eastus", "Standard_B2s_v2", 2, 8, GPUs="0"),
    )

    assert (found["Standard_D4ps_v5"]["architecture"], found["Standard_D4ps_v5"]["cores"]) == ("arm64", 4.0)
    assert found["Standard_NV6ads_A10_v5"]["gpu"] == "A10"
    assert round(found["Standard_NV6ads_A10_v5"]["gpu_count"], 3) == 0.167
    assert round(found["Standard_NV6ads_A10_v5"]["gpu_memory_gib"], 3) == 4
    assert (found["Standard_NC48ads_A100_v4"]["gpu"], found["Standard_NC48ads_A100_v4"]["gpu_count"]) == (
        "A100 80GB",
        2,
    )
    assert found["Standard_B2s_v2"]["gpu"] is None
    assert found["Standard_B2s_v2"]["burstable"]


def test_size_with_gpu_never_looks_like_one_without() -> None:
    """Resource SKUs list no GPUs for V710, V620 and one MI300X size, but count the FPGAs of NP as GPUs."""
    found = read(
        sku("eastus", "Standard_NV4ads_V710_v5", 4, 16),
        sku("eastus", "Standard_NG32adms_V620_v1", 32, 176, GPUs="0"),
        sku("eastus", "Standard_ND96is_MI300X_v5", 96, 1850),
        sku("eastus", "Standard_NV20ads_A10_v5", 20, 230, GPUs="1"),  # a part with an undocumented size
        sku("eastus", "Standard_NX7q_v9", 7, 70),
        sku("eastus", "Standard_NX8q_v9", 8, 80, GPUs="2"),  # whole GPUs of an unknown card
        sku("eastus", "Standard_NP10s", 10, 168, GPUs="1"),
    )
    gpus = {name: (row["gpu"], row["gpu_count"], row["gpu_memory_gib"], row["why_not"]) for name, row in found.items()}

    assert gpus == {
        "Standard_NV4ads_V710_v5": ("V710", 1 / 6, 4, None),
        "Standard_NG32adms_V620_v1": ("V620", 1, 32, None),
        "Standard_ND96is_MI300X_v5": ("MI300X", 8, 192, None),
        "Standard_NV20ads_A10_v5": (None, None, None, NO_SHARE),
        "Standard_NX7q_v9": (None, None, None, NO_SHARE),
        "Standard_NX8q_v9": (None, 2, None, None),
        "Standard_NP10s": (None, 0, None, NO_GPU),
    }


def test_restrictions_exclude_zones_or_the_whole_size() -> None:
    found = read(
        not_allowed(sku("eastus", "Standard_A", 2, 8, "321"), zones="2"),
        not_allowed(not_allowed(sku("eastus", "Standard_B", 2, 8, "321"), zones="2"), zones="31"),
        not_allowed(sku("eastus", "Standard_C", 2, 8, "321")),
    )

    assert (found["Standard_A"]["zones"], found["Standard_A"]["zones_lost"]) == (["1", "3"], 1)
    assert found["Standard_A"]["why_not"] is None
    assert found["Standard_B"]["why_not"] == NOT_ALLOWED
    assert found["Standard_C"]["why_not"] == NOT_ALLOWED


def test_unusable_size_has_a_reason() -> None:
    found = read(
        sku("eastus", "Standard_B2ms", 2, 8, LowPriorityCapable="False"),
        {**sku("eastus", "Standard_X", 2, 8), "capabilities": None, "locationInfo": None, "restrictions": None},
        {**sku("eastus", "Standard_LRS", 2, 8), "resourceType": "disks"},
    )

    assert {name: row["why_not"] for name, row in found.items()} == {"Standard_B2ms": NOT_SPOT, "Standard_X": NO_SHAPE}


def test_regional_size_has_no_zone_and_an_empty_list_no_size() -> None:
    assert read(sku("eastus", "Standard_D2s_v5", 2, 8))["Standard_D2s_v5"]["zones"] == []
    none = sizes(pl.DataFrame(schema=SKU), "eastus")
    assert (none.height, dict(none.schema)) == (0, SIZES)
