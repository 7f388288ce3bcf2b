"""Parsing functions on rows as from boto3, and the fast parser compared with botocore's."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import polars as pl
import pytest
from botocore.parsers import EC2QueryParser

from spotwave.blocks.aws.advisor import INTERRUPTIONS, interruptions_frame
from spotwave.blocks.aws.fast_botocore import OFFERINGS, SPOT_PRICES, Parsers, table_answer
from spotwave.blocks.aws.instance_types import types_frame
from spotwave.blocks.aws.on_demand import on_demand_frame, on_demand_prices
from spotwave.blocks.aws.spot_prices import offers, saved_rows, spot_frame
from spotwave.blocks.aws.zones import zones_frame
from spotwave.blocks.concurrent import Unavailable
from tests.emulators.aws_answers import fragment, xml
from tests.emulators.aws_rows import product_row, shape, zone_row
from tests.emulators.aws_world import small_world

NOW = datetime(2026, 1, 10, tzinfo=UTC)
PRICES = "DescribeSpotPriceHistory"

NO_BOOT = "type that Spotwave's images do not boot on"


def rendered(rows: list[dict[str, Any]], token: str = "") -> bytes:
    return xml(PRICES, "SpotPriceHistory", [fragment(PRICES, "SpotPriceHistory", row) for row in rows], token)


def as_botocore_reads(action: str, body: bytes) -> Any:
    output = botocore.session.Session().get_service_model("ec2").operation_model(action).output_shape
    return EC2QueryParser().parse({"body": body, "headers": {}, "status_code": 200}, output)


@pytest.mark.parametrize("token", ["", "DescribeSpotPriceHistory:1000"])
def test_fast_parser_reads_the_same_as_botocore(token: str) -> None:
    body = rendered(small_world().history["us-east-1"], token)
    found, expected = table_answer(body, SPOT_PRICES), as_botocore_reads(PRICES, body)
    assert found is not None
    assert len(found["SpotPriceHistory"]) > 60
    assert found["SpotPriceHistory"] == expected["SpotPriceHistory"]
    assert found["NextToken"] == expected["NextToken"] == token


def test_fast_parser_reads_offerings() -> None:
    rows = [{"InstanceType": name, "LocationType": "region", "Location": "us-east-1"} for name in small_world().types]
    action = OFFERINGS.action
    body = xml(action, OFFERINGS.rows, [fragment(action, OFFERINGS.rows, row) for row in rows], "")
    found = table_answer(body, OFFERINGS)
    assert found is not None
    assert found[OFFERINGS.rows] == rows == as_botocore_reads(action, body)[OFFERINGS.rows]


def test_fast_parser_reads_answers_without_rows_or_zone_ids() -> None:
    assert table_answer(rendered([]), SPOT_PRICES) == {
        "SpotPriceHistory": [],
        "NextToken": "",
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    rows = [{key: value for key, value in row.items() if key != "AvailabilityZoneId"} for row in a_history()]
    found = table_answer(rendered(rows), SPOT_PRICES)
    assert found is not None
    assert found["SpotPriceHistory"] == rows


def a_history() -> list[dict[str, Any]]:
    return small_world().history["ap-south-1"][:4]


@pytest.mark.parametrize(
    "spoilt",
    [
        rendered(a_history())[:-1],
        rendered(a_history())[: len(rendered(a_history())) // 2],
        rendered(a_history()).replace(b"<spotPrice>", b"<price>", 1),
        rendered(a_history()).replace(b"Linux/UNIX", b"Linux&#47;UNIX", 1),
        rendered(a_history()).replace(b"<timestamp>2026", b"<timestamp>soon 2026", 1),
        b"",
        b"<html>",
    ],
    ids=["no end", "half", "no price", "entity", "no time", "nothing", "html"],
)
def test_irregular_answer_is_left_to_botocore(spoilt: bytes) -> None:
    assert table_answer(spoilt, SPOT_PRICES) is None


def test_type_is_the_same_without_the_unused_parts() -> None:
    action, member = "DescribeInstanceTypes", "InstanceTypes"
    known = [{**row, "NetworkInfo": {"EnaSupport": "required"}} for row in small_world().types.values()]
    body = xml(action, member, [fragment(action, member, row) for row in known])
    session = botocore.session.Session()
    output = session.get_service_model("ec2").operation_model(action).output_shape
    parser = Parsers(session.get_component("response_parser_factory")).create_parser("ec2")
    spared = parser.parse({"body": body, "headers": {}, "status_code": 200}, output)[member]
    assert "NetworkInfo" not in spared[0]
    assert types_frame(spared).equals(types_frame(as_botocore_reads(action, body)[member]))
    assert types_frame(spared).equals(types_frame(known))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"SupportedUsageClasses": ["on-demand"]}, "type without spot"),
        ({"SupportedUsageClasses": None}, "type without spot"),
        ({"CurrentGeneration": False, "Hypervisor": "xen", "SupportedBootModes": ["legacy-bios"]}, None),
        ({"SupportedVirtualizationTypes": ["hvm", "paravirtual"]}, NO_BOOT),
        ({"SupportedRootDeviceTypes": ["instance-store"]}, NO_BOOT),
        ({"ProcessorInfo": {"SupportedArchitectures": ["i386"]}}, NO_BOOT),
        ({"ProcessorInfo": {"SupportedArchitectures": ["arm64"]}, "SupportedBootModes": ["legacy-bios"]}, NO_BOOT),
        ({"SupportedVirtualizationTypes": None, "SupportedBootModes": None, "SupportedRootDeviceTypes": None}, None),
        ({"NeuronInfo": {"TotalNeuronDeviceMemoryInMiB": 1}}, "accelerator that is not a GPU"),
        ({"InferenceAcceleratorInfo": {"Accelerators": [{"Count": 1}]}}, "accelerator that is not a GPU"),
        ({"MediaAcceleratorInfo": {"Accelerators": [{"Count": 1}]}}, "accelerator that is not a GPU"),
        ({"GpuInfo": None, "FpgaInfo": None, "NeuronInfo": None}, None),
    ],
)
def test_unusable_type_has_a_reason(changes: dict[str, Any], why: str | None) -> None:
    assert types_frame([shape("c7i.large", 2, 4, **changes)])["no_use"].to_list() == [why]


def test_newest_price_of_a_pool_counts_in_any_order_of_rows() -> None:
    zone = zone_row("us-east-1", "a")
    row = {"AvailabilityZone": "us-east-1a", "InstanceType": "c7i.large", "ProductDescription": "Linux/UNIX"}
    rows = [
        {**row, "SpotPrice": price, "Timestamp": NOW - timedelta(days=age)}
        for price, age in (("0.03", 3), ("0.01", 1), ("0.02", 2))
    ]
    tables = {
        "zones": zones_frame({"us-east-1": [zone]}),
        "types": types_frame([shape("c7i.large", 2, 4)]),
        "on_demand": on_demand_frame({}),
        "interruptions": pl.DataFrame(schema=INTERRUPTIONS),
    }
    for order in (rows, rows[::-1]):
        found, dropped = offers(spot_frame("us-east-1", order), tables, NOW)
        assert found["spot_usd_h"].to_list() == [0.01]
        assert {reason: count for reason, count in dropped.items() if count} == {"price replaced by a newer one": 2}


def test_other_operating_systems_are_dropped_and_counted() -> None:
    rows = small_world().history["us-east-1"]
    tables = {
        "zones": zones_frame(small_world().zones),
        "types": types_frame(small_world().types.values()),
        "on_demand": on_demand_frame({}),
        "interruptions": interruptions_frame({"ranges": [], "spot_advisor": {"x": {"Linux": {"y": {"r": 0}}}}}),
    }
    _, dropped = offers(spot_frame("us-east-1", rows), tables, NOW)
    assert dropped["operating system other than Linux"] == 3


def test_on_demand_price_is_usd_per_hour_or_missing() -> None:
    good = product_row("us-east-1", "c7i.large", 0.0893)
    other = json.loads(json.dumps(good).replace('"USD"', '"CNY"'))
    upfront = json.loads(json.dumps(good).replace('"Hrs"', '"Quantity"'))
    dedicated = product_row("us-east-1", "c7i.large", 0.01, tenancy="Dedicated")
    free = product_row("us-east-1", "c7i.large", 0.0)
    spread = json.dumps(good, indent=2)
    texts = [*(json.dumps(one) for one in (good, other, upfront, dedicated, free)), spread]
    assert list(on_demand_prices(texts)) == [("c7i.large", 0.0893)] * 2
    assert on_demand_frame({"us-east-1": [("a", 2.0), ("a", 1.0)], "x": [("a", 3.0)]}).rows() == [
        ("us-east-1", "a", 1.0),
        ("x", "a", 3.0),
    ]


def test_unreadable_product_is_reported() -> None:
    for text in ('{"terms": {"OnDemand": {', '{"OnDemand": {"a": {"priceDimensions": {"b": {"unit": "Hrs"}}}}}'):
        with pytest.raises(Unavailable, match="cannot be read"):
            list(on_demand_prices([text]))


@pytest.mark.parametrize("table", [{}, [], {"ranges": [], "spot_advisor": []}, {"ranges": [], "spot_advisor": {}}, "x"])
def test_advisor_file_with_another_format_is_reported(table: Any) -> None:
    with pytest.raises(Unavailable, match="Spot Advisor"):
        interruptions_frame(table)


@pytest.mark.parametrize(
    "text", ['{"SpotPriceHistory": []} {"SpotPriceHistory": []}', "[]", "{}", '{"SpotPriceHistory": [{}]}', ""]
)
def test_invalid_saved_answer_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^this is not the JSON output of describe-spot-price-history"):
        saved_rows(text)
