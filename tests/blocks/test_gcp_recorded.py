"""Price composition on prices and names recorded from Google; skipped if the recorded data is missing."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotwave.blocks.gcp.families import FAMILIES
from spotwave.blocks.gcp.machine_types import TYPES
from spotwave.blocks.gcp.offers import offers
from spotwave.blocks.gcp.skus import CORE, GPU, RAM, SSD, WHOLE, classified, unit_prices
from tests.emulators.gcp_rows import local_ssd

DATA = Path(__file__).parents[3] / "shared" / "data" / "gcp"


def recorded(name: str) -> Any:
    """A recorded file: a JSON document, or the rows of a CSV."""
    path = DATA / name
    if not path.exists():
        pytest.skip("recorded data is missing")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        if ".json" in path.name:
            return json.load(stream)
        return list(csv.DictReader(stream, delimiter=";" if "machinetype" in path.name else ","))


def types_of(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    usual = {"burstable": False, "architecture": "", "accelerator": None, "accelerators": 0, "ssd_partitions": 0}
    return pl.DataFrame([{**usual, "zone": f"{row['region']}-a", **row} for row in rows], schema=TYPES)


def composed(types: pl.DataFrame, skus: list[dict[str, Any]]) -> pl.DataFrame:
    prices, _ = unit_prices(skus)
    frame, _ = offers(types, prices, datetime(2026, 1, 1, tzinfo=UTC))
    return frame


def test_every_n1_price_of_2024_is_composed_exactly() -> None:
    expected = {
        (row["MachineType"], row["Region"], row["Usage"]): float(row["cyclenerd_price"])
        for row in recorded("crosscheck_n1_2024-09.csv.gz")
    }
    shapes = {row["NAME"]: row for row in recorded("cyclenerd_machinetypes.csv.gz")}
    types = types_of(
        {
            "instance_type": name,
            "region": region,
            "vcpus": int(shapes[name]["CPUS"]),
            "memory_gib": float(shapes[name]["MEMORY_GB"]),
        }
        for name, region in sorted({(name, region) for name, region, _ in expected})
    )
    frame = composed(types, recorded("skus_2024-09-16.json.gz"))
    found: dict[tuple[str, str, str], float] = {}
    for row in frame.iter_rows(named=True):
        found[row["instance_type"], row["region"], "Preemptible"] = row["spot_usd_h"]
        found[row["instance_type"], row["region"], "OnDemand"] = row["on_demand_usd_h"]
    assert len(expected) == 1760
    assert {key: usd for key, usd in expected.items() if found.get(key) != pytest.approx(usd, rel=1e-9)} == {}


def test_list_with_a_known_total_for_an_n1() -> None:
    skus = recorded("fixtures__test_get_machine_hour_n1_standard_pricelist.json.gz")
    n1 = {"instance_type": "n1-standard-2", "region": "us-central1", "vcpus": 2, "memory_gib": 7.5}
    assert composed(types_of([n1]), skus)["spot_usd_h"].to_list() == [pytest.approx(2 * 0.0088 + 7.5 * 0.001128)]


def test_list_with_a_known_total_for_eight_h100_mega() -> None:
    """The list calls its GPU 'Plus', and lacks the machine's local SSD, so one is added."""
    skus = recorded("fixtures__test_get_machine_hour_h100_mega_pricelist.json.gz")
    a3 = {
        "instance_type": "a3-megagpu-8g",
        "region": "us-central1",
        "vcpus": 208,
        "memory_gib": 1872.0,
        "accelerator": "nvidia-h100-mega-80gb",
        "accelerators": 8,
        "ssd_partitions": 16,
    }
    assert composed(types_of([a3]), skus).is_empty()
    total = 208 * 0.01481 + 1872 * 0.001289 + 8 * 4.1377
    found = composed(types_of([a3]), [*skus, *local_ssd(0.073, "us-central1")])
    assert found["spot_usd_h"].to_list() == [pytest.approx(total + 16 * 375 * 0.0001)]


@pytest.mark.parametrize("usage", ["ondemand", "preemptible"])
def test_lists_of_custom_machines_price_no_predefined_one(usage: str) -> None:
    skus = recorded(f"fixtures__test_get_machine_hour_{usage}_n1_custom_ext_pricelist.json.gz")
    n1 = {"instance_type": "n1-standard-2", "region": "us-central1", "vcpus": 2, "memory_gib": 7.5}
    assert composed(types_of([n1]), skus).is_empty()


def test_every_spot_pattern_of_2026_is_classified() -> None:
    """Except ten of custom machines, and four of addresses and networks, which are no parts of a predefined machine."""
    rows = [row for row in recorded("cyclenerd_sku_mapping.csv.gz") if row["MAPPING"].endswith(".spot")]
    parts = {"cpu": CORE, "ram": RAM, "gpu": GPU, "ssd": SSD}
    wrong: dict[str, Any] = {}
    found = 0
    for row in rows:
        _, _, what, *_ = row["MAPPING"].split(".")
        expected = None if "custom" in row["MAPPING"] else parts.get(what)
        if row["GROUP"] in ("F1Micro", "G1Small"):
            expected = WHOLE
        kind = classified(as_sku(row, expected))
        found += kind is not None
        if (kind and (kind.part, kind.spot)) != (expected and (expected, True)):
            wrong[row["MAPPING"]] = kind
    assert wrong == {}
    assert len(rows) - found == 14


def test_every_family_of_the_patterns_is_known_by_the_same_name() -> None:
    named = set()
    for row in recorded("cyclenerd_sku_mapping.csv.gz"):
        if row["GROUP"] in ("CPU", "N1Standard") and row["MAPPING"].endswith(".spot") and "cpu" in row["MAPPING"]:
            kind = classified(as_sku(row, CORE))
            if kind and kind.part == CORE:
                named.add(kind.sku)
    assert len(named) > 25
    assert named - {family.sku for family in FAMILIES.values()} == set()


def as_sku(row: dict[str, str], part: str | None) -> dict[str, Any]:
    """Return a SKU with a description that matches the pattern."""
    text = row["SKU_DESCRIPTION"].rstrip("%")
    if part in (CORE, RAM) and not text.endswith(("Core", "Ram")):
        text += " Core" if part == CORE else " Ram"
    if part == GPU and not text.endswith("Spot"):
        text += " to Spot"
    text += " Preemptible VMs running in Paris" if part == GPU else " VMs in Paris" if "attached" in text else ""
    text += "" if " in " in text else " running in Paris"
    return {"description": text, "category": {"resourceGroup": row["GROUP"], "usageType": "Preemptible"}}
