"""Price and size rules on lists recorded from Azure."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotwave.blocks.azure.gpus import gpus
from spotwave.blocks.azure.pages import listed
from spotwave.blocks.azure.prices import ITEM, Kind, usable
from spotwave.blocks.azure.shapes import shape
from spotwave.blocks.azure.size_names import parsed
from spotwave.blocks.azure.skus import NOT_ALLOWED, NOT_SPOT, SKU, sizes

DATA = Path(__file__).parents[3] / "shared" / "data" / "azure"


def recorded(name: str) -> bytes:
    path = DATA / f"{name}.gz"
    if not path.exists():
        pytest.skip("recorded data is missing")
    return gzip.decompress(path.read_bytes())


def table(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(recorded(name).decode().splitlines()))


@pytest.mark.parametrize(
    ("name", "now", "kind", "kept", "dropped"),
    [
        (
            "items_2024-08.json",
            datetime(2024, 8, 15, tzinfo=UTC),
            "spot",
            52,
            {
                "not a virtual machine": 400,
                "price of a reservation": 86,
                "price for dev/test subscriptions": 165,
                "Windows": 173,
                "Cloud Services": 14,
                "dedicated host": 2,
                "Low Priority (of Azure Batch)": 58,
                "not a spot price": 48,
                "price of zero or less": 2,
            },
        ),
        (
            "items_first_2025-03.json",
            datetime(2025, 3, 15, tzinfo=UTC),
            "spot",
            64,
            {
                "not a virtual machine": 341,
                "price of a reservation": 108,
                "price for dev/test subscriptions": 174,
                "Windows": 183,
                "Cloud Services": 11,
                "dedicated host": 2,
                "Low Priority (of Azure Batch)": 55,
                "not a spot price": 62,
            },
        ),
        (
            # A month later, when most of the prices had ended.
            "items_first_2025-03.json",
            datetime(2025, 4, 15, tzinfo=UTC),
            "spot",
            24,
            {
                "not a virtual machine": 341,
                "price of a reservation": 108,
                "price for dev/test subscriptions": 174,
                "Windows": 183,
                "Cloud Services": 11,
                "dedicated host": 2,
                "Low Priority (of Azure Batch)": 55,
                "not a spot price": 62,
                "price no longer in force": 40,
            },
        ),
        (
            "items_2024-08.json",
            datetime(2024, 8, 15, tzinfo=UTC),
            "on-demand",
            46,
            {
                "not a virtual machine": 400,
                "price of a reservation": 86,
                "price for dev/test subscriptions": 165,
                "Windows": 173,
                "Cloud Services": 14,
                "dedicated host": 2,
                "Low Priority (of Azure Batch)": 58,
                "a spot price": 54,
                "price of zero or less": 2,
            },
        ),
    ],
)
def test_every_item_is_kept_or_counted(
    name: str, now: datetime, kind: Kind, kept: int, dropped: dict[str, int]
) -> None:
    items, _ = listed(b'{"Items":' + recorded(name) + b"}", "Items", "NextPageLink", ITEM)
    found, left_out = usable(items, kind, now)

    assert (found.height, left_out) == (kept, dropped)
    assert kept + sum(dropped.values()) == 1000


def test_kept_items_are_the_linux_spot_prices() -> None:
    """The same rules, written in plain Python."""
    name = "items_2024-08.json"
    raw: list[dict[str, Any]] = json.loads(recorded(name))
    expected = {
        (row["armRegionName"], row["armSkuName"]): row["retailPrice"]
        for row in raw
        if row["skuName"].endswith(" Spot")
        and row["type"] == "Consumption"
        and "Windows" not in row["productName"]
        and row["retailPrice"] > 0
    }
    items, _ = listed(b'{"Items":' + recorded(name) + b"}", "Items", "NextPageLink", ITEM)
    found, _ = usable(items, "spot", datetime(2024, 8, 15, tzinfo=UTC))

    assert {(region, size): usd_h for region, size, usd_h in found.select("region", "name", "usd_h").iter_rows()} == (
        expected
    )


def of_skus(name: str, region: str) -> pl.DataFrame:
    page, _ = listed(recorded(name), "value", "nextLink", SKU)
    return sizes(page, region)


def test_skus_of_a_region_with_zones() -> None:
    found = {row["instance_type"]: row for row in of_skus("karpenter_southcentralus_2025-06-03.json", "x").to_dicts()}

    assert len(found) == 20
    assert [name for name, row in found.items() if row["why_not"] == NOT_SPOT] == [
        "Standard_A0",
        "Standard_B1s",
        "Standard_B20ms",
    ]
    assert all(row["why_not"] in (None, NOT_SPOT) for row in found.values())
    constrained = found["Standard_M8-2ms"]
    assert (constrained["vcpus"], constrained["cores"], constrained["memory_gib"]) == (2, 1.0, 218.75)
    assert constrained["zones"] == ["2", "3"]
    assert found["Standard_NC6s_v3"]["zones"] == []
    assert found["Standard_D16plds_v5"]["architecture"] == "arm64"
    assert {name: row["gpu"] for name, row in found.items() if row["gpu"]} == {
        "Standard_NC16as_T4_v3": "T4",
        "Standard_NC24ads_A100_v4": "A100 80GB",
        "Standard_NC6s_v3": "V100",
    }


def test_gpus_of_every_recorded_size_of_the_n_series() -> None:
    """Counts agree with the recording, except for parts of a GPU, which it counts as one or none."""
    for row in table("autoscaler_azure_instance_types.csv"):
        size, recorded_count = row["InstanceType"], int(row["GPU"])
        if not size.startswith("Standard_N"):
            assert (gpus(size), recorded_count) == (None, 0), size
            continue
        found = gpus(size)
        if found is None:
            assert size.startswith("Standard_NP"), size
            continue
        assert found.card is not None, size
        if found.count is not None and recorded_count:
            assert found.count == recorded_count or found.count < 1 == recorded_count, size
        assert found.count or recorded_count, size


def test_skus_of_a_region_without_zones() -> None:
    found = of_skus("karpenter_westcentralus_2024-12-13.json", "x")

    assert found.height == 12
    assert found.filter(why_not=NOT_ALLOWED)["instance_type"].to_list() == ["Standard_A0"]
    assert found["zones"].list.len().sum() == 0


def test_skus_with_restrictions() -> None:
    found = {row["instance_type"]: row for row in of_skus("skewer_eastus.json", "x").to_dicts()}

    # NV6 cannot be used anywhere: its zones are 2 and 3, and the restriction is on all three.
    assert {name: row["why_not"] for name, row in found.items()} == {
        "Standard_D2_v2": None,
        "Standard_D13_v2_Promo": NOT_ALLOWED,
        "Standard_D4s_v3": None,
        "Standard_NV6": NOT_ALLOWED,
    }
    assert found["Standard_D2_v2"]["zones"] == ["1", "2", "3"]


def test_shapes_by_name_agree_with_the_recording() -> None:
    """Of 1,370 recorded sizes, 740 have names with a known shape; the recorded vCPUs are those of the full machine."""
    wrong, known = [], 0
    for row in table("autoscaler_azure_instance_types.csv"):
        name, found = parsed(row["InstanceType"]), shape(row["InstanceType"])
        if found is None or name is None:
            continue
        known += 1
        derived = (name.number, round(found.memory_gib * 1024), found.architecture, found.gpu_count > 0)
        architecture = {"amd64": "x86_64", "arm64": "arm64"}[row["Architecture"]]
        if derived != (int(row["VCPU"]), int(row["MemoryMb"]), architecture, int(row["GPU"]) > 0):
            wrong.append(row["InstanceType"])
        assert found.vcpus == (name.constrained or name.number)

    assert known == 740
    assert wrong == ["Standard_F64-16ams_v7"]  # recorded with 80 vCPUs: an error of the recording


def test_shapes_by_name_agree_with_another_recording() -> None:
    """Of 797 recorded sizes, 389 have names with a known shape."""
    known = [(row, found) for row in table("vm-skus.csv") if (found := shape(row["Name"])) is not None]

    assert len(known) == 389
    for row, found in known:
        assert found.memory_gib == float(row["MemoryGB"]), row["Name"]
        assert found.architecture == {"x64": "x86_64", "Arm64": "arm64"}[row["CpuArchitectureType"]], row["Name"]
