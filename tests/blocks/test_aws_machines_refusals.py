"""Every refusal of EC2 is mapped to the exception that tells what to skip."""

from __future__ import annotations

import traceback

import pytest
from prefect_aws import AwsCredentials

from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.errors import (
    Capacity,
    Closed,
    LaunchRefused,
    Misconfigured,
    Quota,
    Throttled,
    Unclear,
    Unfit,
)
from spotwave.blocks.models import Offer
from tests.blocks.aws_kit import PLANTED, TEMPLATE, brief, machines, offer
from tests.emulators.aws import AwsEmulator, fault, refused
from tests.emulators.aws_account import image_row
from tests.emulators.aws_admission import denied_by
from tests.emulators.aws_cloud import SECRET, cloud_at_url
from tests.emulators.server import garbage


def refusal(emulator: AwsEmulator, wanted: Offer | None = None, **fields: object) -> LaunchRefused:
    with pytest.raises(LaunchRefused) as error:
        machines(emulator, **fields).launch(wanted or offer(), brief())  # type: ignore[arg-type]
    message = str(error.value)
    assert "\n" not in message
    whole = "".join(traceback.format_exception(error.value))
    assert PLANTED not in whole
    assert SECRET not in whole
    assert len(message) < 400
    assert {"machine", "disk", "ip", "nic", "spot request"}.isdisjoint(emulator.left())
    return error.value


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InsufficientInstanceCapacity", 500, Capacity),
        ("UnfulfillableCapacity", 500, Capacity),
        ("InsufficientHostCapacity", 500, Capacity),
        ("SpotMaxPriceTooLow", 400, Capacity),
        ("Unsupported", 400, Capacity),
        ("InvalidAvailabilityZone", 400, Capacity),
        ("RequestLimitExceeded", 503, Throttled),
        ("UnauthorizedOperation", 403, Misconfigured),
        ("AuthFailure", 401, Misconfigured),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", 403, Misconfigured),
        ("InvalidParameterValue", 400, Misconfigured),
        ("InvalidParameterCombination", 400, Misconfigured),
        ("InvalidAMIID.NotFound", 400, Misconfigured),
        ("InvalidAMIID.Malformed", 400, Misconfigured),
        ("InvalidUserData.Malformed", 400, Misconfigured),
        ("IdempotentParameterMismatch", 400, Misconfigured),
        ("OperationNotPermitted", 400, Misconfigured),
        ("InvalidSubnetID.NotFound", 400, Misconfigured),
        ("ExpiredToken", 400, Misconfigured),
        ("InvalidInstanceType", 400, Unfit),
        ("SomethingNew", 400, Unclear),
    ],
)
def test_each_error_code_has_its_exception_and_is_not_retried(
    aws: AwsEmulator, code: str, status: int, kind: type[LaunchRefused]
) -> None:
    aws.fail(fault("RunInstances", refused(code, status)))
    error = refusal(aws)
    assert type(error) is kind
    assert f"us-east-1: RunInstances: {code}" in error.reason
    assert aws.count("RunInstances") == 1  # a lack of capacity is a 500, which botocore would retry
    if kind is Misconfigured:
        assert ";" in error.reason  # the remedy


@pytest.mark.parametrize("code", ["InternalError", "ServiceUnavailable", "BrandNewServerFault"])
def test_server_error_is_retried_and_then_throttled(aws: AwsEmulator, code: str) -> None:
    aws.fail(fault("RunInstances", refused(code, 500)))
    assert isinstance(refusal(aws), Throttled)
    assert aws.count("RunInstances") == 3


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        ("MaxSpotInstanceCountExceeded", "region"),
        ("VcpuLimitExceeded", "region"),
        ("InstanceLimitExceeded", "region"),
        ("VolumeLimitExceeded", "region"),
        ("AddressLimitExceeded", "region"),
        ("VPCIdNotSpecified", "region"),
        ("OptInRequired", "region"),
        ("PendingVerification", "region"),
        ("InsufficientFreeAddressesInSubnet", "zone"),
    ],
)
def test_account_limits_report_their_scope(aws: AwsEmulator, code: str, scope: str) -> None:
    aws.fail(fault("RunInstances", refused(code, 400)))
    error = refusal(aws)
    assert isinstance(error, Quota)
    assert error.reach == scope
    assert ";" in error.reason


def test_service_message_is_kept_without_long_tokens(
    aws: AwsEmulator,
) -> None:
    blob = "A1b2" * 20
    aws.fail(fault("RunInstances", refused("InvalidParameterValue", 400, f"The value {blob}\n for x is wrong")))
    error = refusal(aws)
    assert "(The value … for x is wrong)" in error.reason


@pytest.mark.parametrize(
    ("instance_type", "name", "code"),
    [
        ("c7i.large", "Standard", "L-34B43A08"),
        ("t3.large", "Standard", "L-34B43A08"),
        ("g6f.large", "G and VT", "L-3819A6DF"),
        ("p4d.24xlarge", "P", "L-7212CCBC"),
    ],
)
def test_quota_is_reported_by_class_of_types(aws: AwsEmulator, instance_type: str, name: str, code: str) -> None:
    aws.account.quota_vcpus["us-east-1"] = 0
    aws.account.class_vcpus |= {("us-east-1", "G and VT"): 0, ("us-east-1", "P"): 0}
    error = refusal(aws, offer(instance_type))
    assert isinstance(error, Quota)
    assert (error.reach, error.quota) == ("region", name)
    assert code in error.reason
    assert "Service Quotas" in error.reason
    assert not error.lasting


@pytest.mark.parametrize(
    "policy", ["", "arn:aws:organizations::123456789012:policy/o-b2fp/service_control_policy/p-v4q"]
)
def test_region_denied_by_the_organization_is_closed(aws: AwsEmulator, policy: str) -> None:
    aws.account.closed["us-east-1"] = policy
    error = refusal(aws)
    assert isinstance(error, Closed)
    assert (error.reach, error.lasting) == ("region", True)
    assert "explicit deny in a service control policy" in error.reason
    assert ("p-v4q" in error.reason) == bool(policy)
    assert aws.count("RunInstances") == 1
    another = brief(attempt=80 + bool(policy))  # with an old token EC2 would repeat its old answer
    machines(aws).terminate(machines(aws).launch(offer(zone="eu-west-1b"), another)[0])


@pytest.mark.parametrize("action", ["GetParameter", "DescribeSubnets", "DescribeImages"])
def test_denied_call_before_a_launch_closes_the_region_too(aws: AwsEmulator, action: str) -> None:
    code = "AccessDeniedException" if action == "GetParameter" else "UnauthorizedOperation"
    aws.fail(fault(action, refused(code, 400, denied_by("us-east-1", "", f"any:{action}")), "us-east-1"))
    assert isinstance(refusal(aws), Closed)


def test_denied_secret_is_about_the_blocks_region_for_any_offer(aws: AwsEmulator) -> None:
    message = denied_by("us-east-1", "", "secretsmanager:CreateSecret")
    aws.fail(fault("CreateSecret", refused("AccessDeniedException", 400, message)))
    error = refusal(aws, offer(zone="eu-west-1a"))
    assert isinstance(error, Misconfigured)
    assert "set a region in the AWS Credentials block" in error.reason


def test_launch_waits_for_a_new_instance_profile(aws: AwsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotwave.blocks.aws.machines.PROFILE_PAUSE_S", 0.01)
    aws.account.unready_profile = 3
    machines(aws).launch(offer(), brief())
    assert aws.count("RunInstances") == 4
    monkeypatch.setattr("spotwave.blocks.aws.machines.PROFILE_S", 0.05)
    aws.account.unready_profile = 10**6
    with pytest.raises(Misconfigured, match="instance_profile"):
        machines(aws).launch(offer(), brief(attempt=2))


def test_type_missing_in_the_region_is_skipped(aws: AwsEmulator) -> None:
    assert isinstance(refusal(aws, offer("r8g.large")), Capacity)  # only in ap-south-1
    assert isinstance(refusal(aws, offer("z99.large")), Unfit)


def test_missing_profile_is_reported_with_the_remedy(aws: AwsEmulator) -> None:
    error = refusal(aws, instance_profile="nobody")
    assert isinstance(error, Misconfigured)
    assert "instance_profile: create it, see docs/accounts/aws.md" in error.reason


def test_incompatible_type_and_image_skip_the_type(aws: AwsEmulator) -> None:
    aws.account.images["us-east-1"].append(image_row("ami-1", "x86_64"))
    error = refusal(aws, offer("m6g.large"), image="ami-1")
    assert isinstance(error, Unfit)
    assert "image: none of ami-1 is for arm64" in error.reason
    assert aws.count("RunInstances") == 0
    # The same, as the service itself reports it.
    message = "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of ..."
    aws.fail(fault("RunInstances", refused("InvalidParameterValue", 400, message)))
    assert isinstance(refusal(aws), Unfit)


def test_image_of_another_region_skips_the_region(aws: AwsEmulator) -> None:
    error = refusal(aws, offer(zone="eu-west-1a"), image="ami-1")
    assert isinstance(error, Quota)
    assert error.reach == "region"
    assert "copy one there" in error.reason


def test_region_without_a_network_is_skipped_with_the_remedy(aws: AwsEmulator) -> None:
    error = refusal(aws, subnets=["subnet-0"])
    assert isinstance(error, Quota)
    assert error.reach == "region"
    before = aws.account.subnets["us-east-1"]
    aws.account.subnets["us-east-1"] = [row for row in before if row["AvailabilityZone"] != "us-east-1a"]
    error = refusal(aws)
    assert isinstance(error, Quota)
    assert error.reach == "zone"
    assert "aws ec2 create-default-subnet --availability-zone us-east-1a" in error.reason
    aws.account.subnets["us-east-1"] = []
    error = refusal(aws)
    assert isinstance(error, Quota)
    assert error.reach == "region"
    assert "aws ec2 create-default-vpc" in error.reason


@pytest.mark.parametrize("action", ["GetParameter", "DescribeImages", "DescribeSubnets", "CreateSecret"])
def test_calls_before_a_launch_are_refused_in_the_same_way(aws: AwsEmulator, action: str) -> None:
    aws.fail(fault(action, refused("AccessDeniedException", 400)))
    error = refusal(aws)
    assert isinstance(error, Misconfigured)
    assert f"{action}: AccessDeniedException; credentials: give them the policy" in error.reason
    aws.heal()
    aws.fail(fault(action, refused("ThrottlingException", 400)))
    assert isinstance(refusal(aws), Throttled)
    assert aws.count("RunInstances") == 0


def test_unreadable_answer_stops_the_launch(aws: AwsEmulator) -> None:
    aws.fail(fault("GetParameter", garbage()))
    assert isinstance(refusal(aws), LaunchRefused)
    assert aws.count("RunInstances") == 0


def test_script_too_long_for_user_data_is_not_sent(aws: AwsEmulator) -> None:
    error = refusal(aws, template=TEMPLATE + "".join(f"# {number**9}\n" for number in range(5000)))
    assert isinstance(error, Misconfigured)
    assert "16384" in error.reason
    assert aws.count("RunInstances") == 0
    assert aws.count("CreateSecret") == 0


def test_every_call_without_credentials_reports_the_block_to_fill_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    block = AwsCloud(credentials=AwsCredentials())
    for call in (block.find, block.leftovers, lambda: block.launch(offer(), brief())[0]):
        with pytest.raises(Misconfigured, match=r"^aws: no credentials; fill in the AWS Credentials block"):
            call()
    (finding,) = block.check()
    assert finding.ok is False
    assert "fill in the AWS Credentials block" in finding.said


def test_unknown_image_name_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"image: 'ubuntu-18.04' is not valid; use one of ubuntu-24.04, al2023"):
        cloud_at_url("http://127.0.0.1:1", image="ubuntu-18.04")
