"""Every way in which EC2 says no becomes the reason that tells what to skip."""

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
    with pytest.raises(LaunchRefused) as told:
        machines(emulator, **fields).launch(wanted or offer(), brief())  # type: ignore[arg-type]
    said = str(told.value)
    assert "\n" not in said
    whole = "".join(traceback.format_exception(told.value))
    assert PLANTED not in whole
    assert SECRET not in whole
    assert len(said) < 400
    assert {"machine", "disk", "ip", "nic", "spot request"}.isdisjoint(emulator.left())
    return told.value


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
def test_each_error_code_has_its_refusal_and_is_not_retried(
    aws: AwsEmulator, code: str, status: int, kind: type[LaunchRefused]
) -> None:
    aws.fail(fault("RunInstances", refused(code, status)))
    told = refusal(aws)
    assert type(told) is kind
    assert f"us-east-1: RunInstances: {code}" in told.reason
    assert aws.count("RunInstances") == 1  # a lack of capacity is a 500, which botocore would repeat
    if kind is Misconfigured:
        assert ";" in told.reason  # the remedy


@pytest.mark.parametrize("code", ["InternalError", "ServiceUnavailable", "BrandNewServerFault"])
def test_a_fault_of_the_server_is_repeated_and_then_backed_off_from(aws: AwsEmulator, code: str) -> None:
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
def test_limits_of_the_account_name_their_scope(aws: AwsEmulator, code: str, scope: str) -> None:
    aws.fail(fault("RunInstances", refused(code, 400)))
    told = refusal(aws)
    assert isinstance(told, Quota)
    assert told.reach == scope
    assert ";" in told.reason


def test_the_message_of_the_service_is_kept_without_its_long_tokens(
    aws: AwsEmulator,
) -> None:
    blob = "A1b2" * 20
    aws.fail(fault("RunInstances", refused("InvalidParameterValue", 400, f"The value {blob}\n for x is wrong")))
    told = refusal(aws)
    assert "(The value … for x is wrong)" in told.reason


@pytest.mark.parametrize(
    ("instance_type", "name", "code"),
    [
        ("c7i.large", "Standard", "L-34B43A08"),
        ("t3.large", "Standard", "L-34B43A08"),
        ("g6f.large", "G and VT", "L-3819A6DF"),
        ("p4d.24xlarge", "P", "L-7212CCBC"),
    ],
)
def test_a_quota_is_of_a_class_of_types(aws: AwsEmulator, instance_type: str, name: str, code: str) -> None:
    aws.account.quota_vcpus["us-east-1"] = 0
    aws.account.class_vcpus |= {("us-east-1", "G and VT"): 0, ("us-east-1", "P"): 0}
    told = refusal(aws, offer(instance_type))
    assert isinstance(told, Quota)
    assert (told.reach, told.quota) == ("region", name)
    assert code in told.reason
    assert "Service Quotas" in told.reason
    assert not told.lasting


@pytest.mark.parametrize(
    "policy", ["", "arn:aws:organizations::123456789012:policy/o-b2fp/service_control_policy/p-v4q"]
)
def test_a_region_that_the_organization_denies_is_closed(aws: AwsEmulator, policy: str) -> None:
    aws.account.closed["us-east-1"] = policy
    told = refusal(aws)
    assert isinstance(told, Closed)
    assert (told.reach, told.lasting) == ("region", True)
    assert "explicit deny in a service control policy" in told.reason
    assert ("p-v4q" in told.reason) == bool(policy)
    assert aws.count("RunInstances") == 1
    another = brief(attempt=80 + bool(policy))  # an old token would be given its old answer
    machines(aws).terminate(machines(aws).launch(offer(zone="eu-west-1b"), another)[0])


@pytest.mark.parametrize("action", ["GetParameter", "DescribeSubnets", "DescribeImages"])
def test_a_deny_of_what_is_asked_before_a_launch_is_of_the_region_too(aws: AwsEmulator, action: str) -> None:
    code = "AccessDeniedException" if action == "GetParameter" else "UnauthorizedOperation"
    aws.fail(fault(action, refused(code, 400, denied_by("us-east-1", "", f"any:{action}")), "us-east-1"))
    assert isinstance(refusal(aws), Closed)


def test_a_deny_of_secrets_is_of_the_blocks_region_whatever_the_offer(aws: AwsEmulator) -> None:
    said = denied_by("us-east-1", "", "secretsmanager:CreateSecret")
    aws.fail(fault("CreateSecret", refused("AccessDeniedException", 400, said)))
    told = refusal(aws, offer(zone="eu-west-1a"))
    assert isinstance(told, Misconfigured)
    assert "set a region in the AWS Credentials block" in told.reason


def test_a_profile_that_was_made_a_moment_ago_is_waited_for(aws: AwsEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotwave.blocks.aws.machines.PROFILE_PAUSE_S", 0.01)
    aws.account.unready_profile = 3
    machines(aws).launch(offer(), brief())
    assert aws.count("RunInstances") == 4
    monkeypatch.setattr("spotwave.blocks.aws.machines.PROFILE_S", 0.05)
    aws.account.unready_profile = 10**6
    with pytest.raises(Misconfigured, match="instance_profile"):
        machines(aws).launch(offer(), brief(attempt=2))


def test_a_type_that_is_not_sold_here_is_skipped(aws: AwsEmulator) -> None:
    assert isinstance(refusal(aws, offer("r8g.large")), Capacity)  # only in ap-south-1
    assert isinstance(refusal(aws, offer("z99.large")), Unfit)


def test_a_profile_that_is_not_there_is_named_with_the_remedy(aws: AwsEmulator) -> None:
    told = refusal(aws, instance_profile="nobody")
    assert isinstance(told, Misconfigured)
    assert "instance_profile: create it, see docs/accounts/aws.md" in told.reason


def test_a_type_and_an_image_that_do_not_go_together_skip_the_type(aws: AwsEmulator) -> None:
    aws.account.images["us-east-1"].append(image_row("ami-1", "x86_64"))
    told = refusal(aws, offer("m6g.large"), image="ami-1")
    assert isinstance(told, Unfit)
    assert "image: none of ami-1 is for arm64" in told.reason
    assert aws.count("RunInstances") == 0
    # As the service says it, were it asked.
    message = "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of ..."
    aws.fail(fault("RunInstances", refused("InvalidParameterValue", 400, message)))
    assert isinstance(refusal(aws), Unfit)


def test_an_image_of_another_region_skips_the_region(aws: AwsEmulator) -> None:
    told = refusal(aws, offer(zone="eu-west-1a"), image="ami-1")
    assert isinstance(told, Quota)
    assert told.reach == "region"
    assert "copy one there" in told.reason


def test_a_region_without_a_network_is_skipped_with_the_remedy(aws: AwsEmulator) -> None:
    told = refusal(aws, subnets=["subnet-0"])
    assert isinstance(told, Quota)
    assert told.reach == "region"
    before = aws.account.subnets["us-east-1"]
    aws.account.subnets["us-east-1"] = [row for row in before if row["AvailabilityZone"] != "us-east-1a"]
    told = refusal(aws)
    assert isinstance(told, Quota)
    assert told.reach == "zone"
    assert "aws ec2 create-default-subnet --availability-zone us-east-1a" in told.reason
    aws.account.subnets["us-east-1"] = []
    told = refusal(aws)
    assert isinstance(told, Quota)
    assert told.reach == "region"
    assert "aws ec2 create-default-vpc" in told.reason


@pytest.mark.parametrize("action", ["GetParameter", "DescribeImages", "DescribeSubnets", "CreateSecret"])
def test_what_is_asked_before_a_launch_is_refused_in_the_same_words(aws: AwsEmulator, action: str) -> None:
    aws.fail(fault(action, refused("AccessDeniedException", 400)))
    told = refusal(aws)
    assert isinstance(told, Misconfigured)
    assert f"{action}: AccessDeniedException; credentials: give them the policy" in told.reason
    aws.heal()
    aws.fail(fault(action, refused("ThrottlingException", 400)))
    assert isinstance(refusal(aws), Throttled)
    assert aws.count("RunInstances") == 0


def test_an_unreadable_answer_stops_the_launch(aws: AwsEmulator) -> None:
    aws.fail(fault("GetParameter", garbage()))
    assert isinstance(refusal(aws), LaunchRefused)
    assert aws.count("RunInstances") == 0


def test_a_script_that_is_too_long_for_user_data_is_never_sent(aws: AwsEmulator) -> None:
    told = refusal(aws, template=TEMPLATE + "".join(f"# {number**9}\n" for number in range(5000)))
    assert isinstance(told, Misconfigured)
    assert "16384" in told.reason
    assert aws.count("RunInstances") == 0
    assert aws.count("CreateSecret") == 0


def test_every_call_without_credentials_names_the_block_to_fill_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    block = AwsCloud(credentials=AwsCredentials())
    for door in (block.find, block.leftovers, lambda: block.launch(offer(), brief())[0]):
        with pytest.raises(Misconfigured, match=r"^aws: no credentials; fill in the AWS Credentials block"):
            door()
    (finding,) = block.check()
    assert finding.ok is False
    assert "fill in the AWS Credentials block" in finding.said


def test_an_unknown_image_name_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"image: 'ubuntu-18.04' is none; write one of ubuntu-24.04, al2023, or ids"):
        cloud_at_url("http://127.0.0.1:1", image="ubuntu-18.04")
