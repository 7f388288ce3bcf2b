"""AWS market, read with the real SDK from an emulator that contains every documented special case."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.market import read_market
from spotwave.blocks.concurrent import no_progress
from spotwave.blocks.market import SCHEMA
from spotwave.blocks.models import Requirements
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.aws_rows import on_demand_usd_h, spot_price
from tests.emulators.aws_world import World, small_world


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    with AwsEmulator() as emulator:
        return cloud_at(emulator).market().frame


def only(frame: pl.DataFrame, name: str, zone: str = "us-east-1a") -> dict[str, Any]:
    found = frame.filter(instance_type=name, zone=zone).to_dicts()
    assert len(found) == 1
    return found[0]


def test_every_usable_pool_is_offered_once_and_the_rest_is_counted(aws: AwsEmulator) -> None:
    before = datetime.now(UTC)
    market = cloud_at(aws).market()
    assert market.missing == {}
    assert market.dropped == {
        "aws: Local or Wavelength Zone": 1,
        "aws: accelerator that is not a GPU": 9,  # dl1, inf2 and f2, three zones each
        "aws: instance type unknown": 1,
        "aws: price above 1.2 times on-demand": 1,
        "aws: price of zero or less": 1,
        "aws: price replaced by a newer one": 1,
        "aws: price that is not a number": 1,
        "aws: type that Spotwave's images do not boot on": 3,  # m1
        "aws: type without spot": 1,
        "aws: zone not available": 1,
        "aws: zone unknown": 1,
    }
    # 22 usable types in three zones minus three bad prices, the first 20 in two, the first 10 and r8g in two.
    assert len(market) == 22 * 3 - 3 + 20 * 2 + 11 * 2
    assert market.frame.select("instance_type", "zone").is_unique().all()
    assert market.seen_at is not None
    assert before <= market.seen_at <= datetime.now(UTC)
    assert dict(market.frame.schema) == SCHEMA


def test_each_offer_has_the_price_of_its_zone_and_region(frame: pl.DataFrame) -> None:
    types = small_world().types
    for row in frame.iter_rows(named=True):
        known = types[row["instance_type"]]
        assert row["spot_usd_h"] == float(spot_price(row["region"], row["zone"], known))
        if (row["instance_type"], row["region"]) != ("g6f.large", "us-east-1"):
            assert row["on_demand_usd_h"] == on_demand_usd_h(row["region"], known)
    assert only(frame, "c7i.large")["zone_id"] == "useast1-az1"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("c7i.2xlarge", {"family": "c7i", "vcpus": 8, "cores": 4.0, "memory_gib": 16.0, "architecture": "x86_64"}),
        ("m6g.2xlarge", {"family": "m6g", "vcpus": 8, "cores": 8.0, "memory_gib": 32.0, "architecture": "arm64"}),
        ("t3.large", {"burstable": True, "bare_metal": False, "boot_s": 60.0, "notice_s": 120.0}),
        ("c7i.metal-24xl", {"burstable": False, "bare_metal": True, "boot_s": 600.0}),
        ("c7i.large", {"gpu": None, "gpu_count": 0.0, "gpu_memory_gib": None}),
        ("c4.large", {"family": "c4", "vcpus": 2, "cores": 1.0}),
        ("g4dn.xlarge", {"gpu": "T4", "gpu_count": 1.0, "gpu_memory_gib": 16.0}),
        ("g6.12xlarge", {"gpu": "L4", "gpu_count": 4.0, "gpu_memory_gib": 24.0}),
        ("g6f.large", {"gpu": "L4", "gpu_count": 0.125, "gpu_memory_gib": 3.0, "on_demand_usd_h": None}),
        ("g4ad.xlarge", {"gpu": "Radeon Pro V520", "gpu_count": 1.0, "gpu_memory_gib": 8.0}),
        ("p4d.24xlarge", {"gpu": "A100", "gpu_count": 8.0, "gpu_memory_gib": 40.0}),
        ("p4de.24xlarge", {"gpu": "A100 80GB", "gpu_count": 8.0, "gpu_memory_gib": 80.0}),
    ],
)
def test_shape_of_a_type(frame: pl.DataFrame, name: str, expected: dict[str, Any]) -> None:
    offer = only(frame, name)
    assert {key: offer[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "middle", "band"),
    [
        ("c7i.large", 0.025, "0-5 %"),
        ("c7i.xlarge", 0.075, "5-10 %"),
        ("c7i.2xlarge", 0.125, "10-15 %"),
        ("c7i.4xlarge", 0.175, "15-20 %"),
        ("m7i.large", 0.6, ">20 %"),
    ],
)
def test_monthly_share_is_converted_to_an_hourly_rate(frame: pl.DataFrame, name: str, middle: float, band: str) -> None:
    offer = only(frame, name)
    assert offer["interruptions_per_h"] == pytest.approx(middle / 720)
    assert offer["interruption"] == "low"
    assert offer["interruption_basis"].startswith(f"Spot Instance Advisor: {band} of capacity reclaimed in a month")


@pytest.mark.parametrize("name", ["m7i.xlarge", "m6g.large"])  # an index without a range; missing in the file
def test_type_missing_in_the_advisor_has_unknown_rate(frame: pl.DataFrame, name: str) -> None:
    offer = only(frame, name)
    found = (offer["interruption"], offer["interruptions_per_h"], offer["interruption_basis"])
    assert found == ("unknown", None, None)


def test_type_in_only_one_region_is_found_there(frame: pl.DataFrame) -> None:
    assert set(frame.filter(instance_type="r8g.large")["region"]) == {"ap-south-1"}


def test_catalogue_saves_all_calls_except_prices(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws)
    whole = cloud.market()
    catalogue = pickle.loads(pickle.dumps(cloud.catalogue()))
    aws.calls.clear()
    again = cloud.market(catalogue)
    assert Counter(aws.calls) == {f"DescribeSpotPriceHistory {region}": 1 for region in aws.world.regions}
    assert (
        again.frame.drop("seen_at")
        .sort("instance_type", "zone")
        .equals(whole.frame.drop("seen_at").sort("instance_type", "zone"))
    )
    assert (again.dropped, again.missing) == (whole.dropped, whole.missing)


def test_each_shape_is_read_once_in_a_region_that_has_it(aws: AwsEmulator) -> None:
    cloud_at(aws).catalogue()
    asked = Counter(name for name in aws.calls if name.startswith("DescribeInstanceTypes "))
    assert asked == {"DescribeInstanceTypes us-east-1": 1, "DescribeInstanceTypes ap-south-1": 1}


def test_only_wanted_regions_are_read(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, regions=["eu-west-1", "me-south-1"])
    market = cloud.market()
    assert set(market.frame["region"]) == {"eu-west-1"}
    assert market.missing == {"aws me-south-1": "not enabled for this account"}
    asked = {name.partition(" ")[2] for name in aws.calls if not name.startswith(("DescribeRegions", "advisor"))}
    assert asked == {"eu-west-1"}
    assert cloud.market(cloud.catalogue()).missing == market.missing


def test_progress_ends_with_all_calls_done(aws: AwsEmulator) -> None:
    reports: list[tuple[int, int]] = []
    cloud_at(aws).market(tell=lambda done, total: reports.append((done, total)))
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1][0] == reports[-1][1] == 3 * 4 + 2 + 1


def test_many_pages_are_joined() -> None:
    small = small_world()
    region, zones = "us-east-1", [f"us-east-1{letter}" for letter in "abc"]
    names = [f"c7i.{number}xlarge" for number in range(450)]
    template = small.types["c7i.xlarge"]
    types = {name: {**template, "InstanceType": name} for name in names}
    rows = [
        {**row, "InstanceType": name}
        for name in names
        for row in small.history[region]
        if row["InstanceType"] == "c7i.xlarge" and row["AvailabilityZone"] in zones
    ]
    world = World({region: small.zones[region]}, types, {region: names}, {region: rows}, {region: []}, {region: {}})
    with AwsEmulator(world, latency_s=0.02) as emulator:
        market = cloud_at(emulator).market()
        assert len(market) == 450 * 3
        assert emulator.calls.count("DescribeSpotPriceHistory us-east-1") == 2
        assert emulator.calls.count("DescribeInstanceTypes us-east-1") == 5
    assert set(market.missing) == {"aws on-demand prices", "aws interruption table"}  # not in this world
    assert market.frame["on_demand_usd_h"].is_null().all()


def test_number_of_concurrent_calls_is_limited() -> None:
    with AwsEmulator(latency_s=0.02) as emulator:
        clients = Clients(cloud_at(emulator).credentials, at_most=3)
        read_market(clients, [], emulator.url, None, no_progress)
        assert 3 <= emulator.most_at_once <= 3 + 1  # the advisor's file does not count against the limit


def test_cheapest_arm64_machine_can_be_selected(aws: AwsEmulator) -> None:
    wanted = cloud_at(aws).market().eligible(Requirements(architectures=["arm64"], min_vcpus=4))
    assert set(wanted.frame["family"]) == {"m6g"}


def test_plain_http_is_only_allowed_to_this_computer(aws: AwsEmulator) -> None:
    fields = cloud_at(aws).credentials.model_dump(exclude={"aws_client_parameters"})
    for parameters, message in (
        ({"endpoint_url": "http://ec2.example.org"}, "plain http"),
        ({"endpoint_url": "ec2.example.org"}, "not a valid address"),
        ({"use_ssl": False}, "Use SSL"),
    ):
        with pytest.raises(ValidationError, match=message):
            AwsCloud.model_validate({"credentials": {**fields, "aws_client_parameters": parameters}})
    with pytest.raises(ValidationError, match="plain http"):
        AwsCloud(credentials=cloud_at(aws).credentials, advisor_endpoint="http://example.org")


def test_importing_the_block_does_not_import_the_market_modules() -> None:
    wing = "spotwave.blocks.aws"
    code = f"import sys, {wing}.block; print([name for name in sys.modules if name.startswith('{wing}.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([f"{wing}.{name}" for name in ("quotas", "setup", "block")])
