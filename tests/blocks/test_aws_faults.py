"""Failures of AWS are reported in one line each, and the rest of the market is kept."""

from __future__ import annotations

from typing import Any

import pytest
from prefect_aws import AwsCredentials

from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.errors import MarketUnavailable
from tests.emulators.aws import (
    AwsEmulator,
    empty,
    fault,
    refused,
    server_error,
    throttled,
)
from tests.emulators.aws_cloud import SECRET, cloud_at
from tests.emulators.server import Answer, cut, garbage

PRICES = "DescribeSpotPriceHistory"
OFFERS = 125  # number of offers in the small world


@pytest.fixture
def no_keys_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.mark.parametrize("answer", [throttled(), server_error(), cut()], ids=["throttled", "5xx", "cut"])
def test_transient_fault_has_no_effect(aws: AwsEmulator, answer: Answer) -> None:
    actions = (PRICES, "DescribeAvailabilityZones", "DescribeInstanceTypes", "GetProducts", "advisor")
    for action in actions:
        aws.fail(fault(action, answer, times=1))
    market = cloud_at(aws).market()
    assert market.missing == {}
    assert len(market) == OFFERS
    undisturbed = 3 * 4 + 2 + 2  # 3 regions; 2 shares of types; regions and advisor
    assert len(aws.calls) == undisturbed + len(actions)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (throttled(), f"{PRICES} failed: RequestLimitExceeded; too many calls; try again in a few minutes"),
        (server_error(), f"{PRICES} failed: InternalError; try again later"),
        (refused("UnauthorizedOperation"), f"{PRICES} failed: UnauthorizedOperation; allow ec2:{PRICES} to the "),
        (refused("AuthFailure", 401), f"{PRICES} failed: AuthFailure; check the keys of the AWS Credentials block"),
        (refused("OptInRequired", 401), f"{PRICES} failed: OptInRequired; enable the region"),
        (cut(), "describe_spot_price_history failed: "),
        (garbage(), "describe_spot_price_history failed: its answer cannot be read; try again later"),
        (empty(), "no spot price is listed"),
    ],
    ids=["throttled", "5xx", "denied", "disabled", "opt-in", "cut", "garbage", "empty"],
)
def test_failed_region_is_reported_and_the_others_are_kept(aws: AwsEmulator, answer: Answer, message: str) -> None:
    aws.fail(fault(PRICES, answer, "eu-west-1"))
    market = cloud_at(aws, attempts=1).market()
    assert list(market.missing) == ["aws eu-west-1"]
    assert market.missing["aws eu-west-1"].startswith(message)
    assert set(market.frame["region"]) == {"us-east-1", "ap-south-1"}


def test_throttled_call_is_retried_up_to_its_limit(aws: AwsEmulator) -> None:
    aws.fail(fault(PRICES, throttled(), "eu-west-1"))
    cloud_at(aws, attempts=2).market()
    assert aws.calls.count(f"{PRICES} eu-west-1") == 2


def test_denied_price_list_leaves_on_demand_prices_unknown(aws: AwsEmulator) -> None:
    aws.fail(fault("GetProducts", refused("AccessDeniedException", 400)))
    market = cloud_at(aws).market()
    assert market.missing == {
        "aws on-demand prices": "GetProducts failed: AccessDeniedException; "
        "allow pricing:GetProducts to the credentials"
    }
    assert market.frame["on_demand_usd_h"].is_null().all()
    assert len(market) == OFFERS + 1  # without on-demand prices, the absurd price is not detected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (throttled(), "GetProducts failed: ThrottlingException; too many calls"),
        (garbage(), "get_products failed: its answer cannot be read"),
        (empty(), "the price list has no prices"),
    ],
    ids=["throttled", "garbage", "empty"],
)
def test_price_list_that_fails_in_one_region_is_missing_there(aws: AwsEmulator, answer: Answer, message: str) -> None:
    aws.fail(fault("GetProducts", answer, "eu-west-1"))
    market = cloud_at(aws, attempts=1).market()
    assert list(market.missing) == ["aws on-demand prices of eu-west-1"]
    assert market.missing["aws on-demand prices of eu-west-1"].startswith(message)
    assert market.frame.filter(region="eu-west-1")["on_demand_usd_h"].is_null().all()
    assert not market.frame.filter(region="ap-south-1")["on_demand_usd_h"].is_null().any()


@pytest.mark.parametrize("answer", [refused("AccessDenied", 403), empty()], ids=["denied", "empty"])
def test_failed_advisor_leaves_interruption_rates_unknown(aws: AwsEmulator, answer: Answer) -> None:
    aws.fail(fault("advisor", answer))
    market = cloud_at(aws).market()
    assert set(market.frame["interruption"]) == {"unknown"}
    assert list(market.missing) == ["aws interruption table"]


def test_region_without_zones_is_reported_and_its_prices_counted(aws: AwsEmulator) -> None:
    aws.fail(fault("DescribeAvailabilityZones", refused("UnauthorizedOperation"), "ap-south-1"))
    market = cloud_at(aws).market()
    assert list(market.missing) == ["aws ap-south-1"]
    assert market.dropped["aws: zone unknown"] == 1 + 11 * 2


def test_types_without_offerings_are_counted_as_unknown(aws: AwsEmulator) -> None:
    aws.fail(fault("DescribeInstanceTypeOfferings", server_error(), "ap-south-1"))
    market = cloud_at(aws, attempts=1).market()
    assert list(market.missing) == ["aws instance types of ap-south-1"]
    assert market.dropped["aws: instance type unknown"] == 1 + 2


@pytest.mark.parametrize(
    ("action", "answer", "message"),
    [
        ("DescribeRegions", refused("AuthFailure", 401), "aws: DescribeRegions failed: AuthFailure; check the keys"),
        ("DescribeRegions", empty(), "aws: none of the regions is enabled"),
        (PRICES, throttled(), f"aws: no region has prices: {PRICES} failed: RequestLimitExceeded"),
        ("DescribeInstanceTypes", empty(), "aws: no instance types are listed: the answers are empty"),
        ("DescribeInstanceTypes", throttled(), "aws: no instance types are listed: DescribeInstanceTypes failed"),
        ("DescribeAvailabilityZones", cut(), "aws: no zones are listed: describe_availability_zones failed"),
    ],
)
def test_unavailable_market_reports_the_reason_in_one_line(
    aws: AwsEmulator, action: str, answer: Answer, message: str
) -> None:
    aws.fail(fault(action, answer))
    with pytest.raises(MarketUnavailable) as error:
        cloud_at(aws, attempts=1).market()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)


def test_stopped_server_raises_market_unavailable(aws: AwsEmulator) -> None:
    cloud = cloud_at(aws, attempts=1)
    aws.__exit__(None, None, None)
    with pytest.raises(MarketUnavailable, match="check the network"):
        cloud.market()


@pytest.mark.usefixtures("no_keys_here")
def test_missing_credentials_are_reported_with_the_remedy() -> None:
    with pytest.raises(MarketUnavailable, match=r"^aws: no credentials; fill in the AWS Credentials block"):
        AwsCloud(credentials=AwsCredentials()).market()


@pytest.mark.usefixtures("no_keys_here")
def test_missing_profile_is_reported_with_the_remedy() -> None:
    with pytest.raises(MarketUnavailable, match=r"^aws: no credentials: ProfileNotFound; fill in"):
        AwsCloud(credentials=AwsCredentials(profile_name="nobody")).catalogue()
