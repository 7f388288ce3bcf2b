"""Parsing functions on answers recorded from Amazon; skipped if the recordings are missing."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotwave.blocks.aws.advisor import INTERRUPTIONS, interruptions_frame
from spotwave.blocks.aws.instance_types import types_frame
from spotwave.blocks.aws.on_demand import on_demand_frame, on_demand_prices
from spotwave.blocks.aws.spot_prices import offers, saved_rows, spot_frame
from spotwave.blocks.aws.zones import zones_frame
from spotwave.blocks.price_sanity import vetted

DATA = Path(__file__).parents[3] / "shared" / "data" / "aws"
REGIONS = {
    "apne1": "ap-northeast-1",
    "apne2": "ap-northeast-2",
    "apne3": "ap-northeast-3",
    "aps1": "ap-south-1",
    "apse1": "ap-southeast-1",
    "apse2": "ap-southeast-2",
    "cac1": "ca-central-1",
    "euc1": "eu-central-1",
    "eun1": "eu-north-1",
    "euw1": "eu-west-1",
    "euw2": "eu-west-2",
    "euw3": "eu-west-3",
    "sae1": "sa-east-1",
    "use1": "us-east-1",
    "use2": "us-east-2",
    "usw1": "us-west-1",
    "usw2": "us-west-2",
}
NONE = pl.DataFrame(schema=INTERRUPTIONS)


def text_of(name: str) -> str:
    if not DATA.exists():
        pytest.skip("recorded data is missing")
    return gzip.decompress((DATA / name).read_bytes()).decode()


def all_types() -> pl.DataFrame:
    pages = [json.loads(text_of(f"describe_instance_types_2025/page{number}.json.gz")) for number in range(1, 10)]
    return types_frame(row for page in pages for row in page)


def test_two_documents_in_one_file_are_rejected_in_one_line() -> None:
    text = text_of("raw_t1.micro.json.gz")
    with pytest.raises(ValueError, match="not the JSON output of describe-spot-price-history: Extra data") as error:
        saved_rows(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "changes", "zones"), [("m5.large", 774, 5), ("p3.2xlarge", 288, 3)])
def test_history_is_reduced_to_one_linux_price_per_zone(name: str, changes: int, zones: int) -> None:
    rows = saved_rows(text_of(f"raw_{name}.json.gz"))
    listed = [{"ZoneName": f"us-east-1{letter}", "ZoneId": letter, "State": "available"} for letter in "abcdef"]
    tables = {
        "zones": zones_frame({"us-east-1": listed}),
        "types": all_types(),
        "on_demand": on_demand_frame({}),
        "interruptions": NONE,
    }
    found, dropped = offers(spot_frame("us-east-1", rows), tables, datetime.now().astimezone())
    linux = [row for row in rows if row["ProductDescription"] == "Linux/UNIX"]
    assert len(linux) == changes
    assert dropped["operating system other than Linux"] == len(rows) - changes
    assert dropped["price replaced by a newer one"] == changes - zones
    newest = {row["AvailabilityZone"]: row for row in sorted(linux, key=lambda row: row["Timestamp"])}
    assert dict(found.select("zone", "spot_usd_h").iter_rows()) == {
        zone: float(row["SpotPrice"]) for zone, row in newest.items()
    }


def test_the_types_of_2025() -> None:
    types = all_types()
    assert types.height == 865
    assert types["instance_type"].is_unique().all()
    # The five without an architecture are Macs, which are also only sold on demand.
    assert dict(types.group_by("architecture").len().iter_rows()) == {"x86_64": 629, "arm64": 231, None: 5}
    assert dict(types.group_by("no_use").len().iter_rows()) == {
        None: 803,
        "type that Spotwave's images do not boot on": 19,
        "type without spot": 22,
        "accelerator that is not a GPU": 21,
    }
    usable = types.filter(pl.col("no_use").is_null())
    names = ["A100", "A10G", "H100", "K80", "L4", "L40S", "Radeon Pro V520", "T4", "T4g", "V100", "V100 32GB"]
    assert sorted(set(usable["gpu"].drop_nulls())) == names
    assert usable.filter(gpu="V100 32GB")["instance_type"].to_list() == ["p3dn.24xlarge"]
    assert usable.select(pl.col("gpu").is_null() == pl.col("gpu_memory_gib").is_null()).to_series().all()
    assert usable.select("vcpus", "cores", "memory_gib", "architecture").null_count().row(0) == (0, 0, 0, 0)
    ratio = usable["vcpus"] / usable["cores"]
    assert set(ratio) <= {1.0, 2.0}


@pytest.mark.parametrize("path", ["25_instances", "pv_instances", "g2_2xlarge_group", "t3_micro_and_p3_16xl", "empty"])
def test_older_answers_with_nulls_are_read(path: str) -> None:
    rows: list[dict[str, Any]] = json.loads(text_of(f"recorded_api_json/DescribeInstanceTypes__{path}.json.gz"))[
        "InstanceTypes"
    ]
    assert types_frame(rows).height == len(rows)


def test_recorded_prices_of_seventeen_regions() -> None:
    """9,281 Linux rows of 9,100 pools. The recording has zone ids instead of names, so these are used as names here."""
    rows = list(csv.DictReader(io.StringIO(text_of("spot_prices_2022-05-31_17_regions.csv.gz"))))
    by_region: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        zone = row["AvailabilityZoneId"]
        region = REGIONS[zone.partition("-")[0]]
        moment = datetime.fromisoformat(row["Timestamp"])
        by_region.setdefault(region, []).append({**row, "AvailabilityZone": zone, "Timestamp": moment})
    assert len(by_region) == 17
    zones = {
        region: [
            {"ZoneName": zone, "ZoneId": zone, "State": "available"} for zone in {row["AvailabilityZone"] for row in of}
        ]
        for region, of in by_region.items()
    }
    advisor = json.loads(text_of("spot-advisor-data_2024-02.json.gz"))
    tables = {
        "zones": zones_frame(zones),
        "types": all_types(),
        "on_demand": on_demand_frame({}),
        "interruptions": interruptions_frame(advisor),
    }
    spot = pl.concat([spot_frame(region, of) for region, of in by_region.items()])
    found, dropped = offers(spot, tables, datetime.now().astimezone())
    market = vetted("aws", found, dropped)
    assert dropped["operating system other than Linux"] == len(rows) - 9281
    assert dropped["price replaced by a newer one"] == 9281 - 9100
    assert len(market) + sum(market.dropped.values()) == len(rows)
    assert len(market) == 8734
    assert market.dropped == {
        "aws: accelerator that is not a GPU": 113,
        "aws: instance type unknown": 53,  # three years later
        "aws: operating system other than Linux": 24081,
        "aws: price replaced by a newer one": 181,
        "aws: type that Spotwave's images do not boot on": 200,
    }
    # Older generations that were still sold then, all only hvm: m4, c4, r3, r4, d2 and i2.
    assert {"m4", "c4", "r3", "r4", "d2", "i2", "t2", "i3", "h1", "x1"} <= set(market.frame["family"])
    assert not {"c1", "c3", "m1", "m2", "m3", "t1"} & set(market.frame["family"])
    # Per ten thousand hours: in the Advisor's figures, even the worst band is one interruption in seven weeks.
    rates = market.frame.select(pl.col("interruptions_per_h") * 10_000, "interruption")
    counts = rates.group_by(pl.col("interruptions_per_h").round(2), "interruption").len()
    assert dict(((rate, word), count) for rate, word, count in counts.iter_rows()) == {
        (0.35, "low"): 3363,
        (1.04, "low"): 1974,
        (1.74, "low"): 993,
        (2.43, "low"): 704,
        (8.33, "low"): 1693,
        (None, "unknown"): 7,
    }


def test_boot_check_agrees_with_every_recorded_description() -> None:
    """The same rule, written in plain Python, over the whole table."""
    expected = {}
    for number in range(1, 10):
        for row in json.loads(text_of(f"describe_instance_types_2025/page{number}.json.gz")):
            machine = {"x86_64", "arm64"} & set(row["ProcessorInfo"]["SupportedArchitectures"])
            ours = {"uefi"} if machine == {"arm64"} else {"uefi", "legacy-bios"}
            expected[row["InstanceType"]] = (
                row["SupportedVirtualizationTypes"] == ["hvm"]
                and "ebs" in row["SupportedRootDeviceTypes"]
                and bool(machine)
                and bool(ours & set(row["SupportedBootModes"]))
            )
    # Types without spot or with other accelerators have those reasons; all others that do not boot are listed.
    unbootable = all_types().filter(no_use="type that Spotwave's images do not boot on")["instance_type"].to_list()
    assert sorted(unbootable) == sorted(name for name, boots in expected.items() if not boots and "mac" not in name)


def test_recorded_advisor_of_2024() -> None:
    table = json.loads(text_of("spot-advisor-data_2024-02.json.gz"))
    frame = interruptions_frame(table)
    assert frame["region"].n_unique() == 29
    assert frame.height == sum(len(systems["Linux"]) for systems in table["spot_advisor"].values())
    indices = Counter(row["r"] for systems in table["spot_advisor"].values() for row in systems["Linux"].values())
    counts = dict(frame.group_by((pl.col("interruptions_per_h") * 720).round(3)).len().iter_rows())
    assert counts == {middle: indices[index] for index, middle in enumerate((0.025, 0.075, 0.125, 0.175, 0.6))}


def test_recorded_product_has_its_on_demand_price() -> None:
    text = text_of("recorded_api_json/GetProducts__m5_large.json.gz")
    assert list(on_demand_prices([text])) == [("m5.large", 0.096)]
