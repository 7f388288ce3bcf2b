"""Resources beside machines: leftovers, checks, and the policies for the user's account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.aws.fast_botocore import OPERATIONS
from spotwave.blocks.errors import Throttled
from spotwave.blocks.models import Finding
from tests.blocks.aws_kit import KEY, brief, machines, offer
from tests.emulators.aws import AwsEmulator, fault, refused, server_error
from tests.emulators.aws_account import image_row
from tests.emulators.aws_cloud import SECRET, cloud_at
from tests.emulators.server import cut, garbage

POLICIES = Path(__file__).parents[2] / "deployments/policies"
TAGS = {"spotwave": KEY, "spotwave-deadline": "1800000000"}


def test_leftovers_are_found_in_every_region_and_deleted(aws: AwsEmulator) -> None:
    at = machines(aws)
    [machine] = at.launch(offer(), brief())
    [lost] = at.launch(offer(zone="eu-west-1a"), brief("sw-lost"))
    aws.fleet.lose(lost.id)
    left = {
        aws.fleet.leave("disk", "eu-west-1", {"State": "available", "AvailabilityZone": "eu-west-1a"}, TAGS),
        aws.fleet.leave("nic", "ap-south-1", {"Status": "available"}, TAGS),
        aws.fleet.leave("spot request", "us-east-1", {"State": "open"}, TAGS),
        aws.fleet.leave("spot request", "eu-west-1", {"State": "active", "InstanceId": lost.id}, TAGS),
    }
    strangers = [
        aws.fleet.leave("disk", "us-east-1", {"State": "available"}, {"owner": "somebody"}),
        aws.fleet.leave("nic", "us-east-1", {"Status": "available"}, {}),
        aws.fleet.leave("spot request", "us-east-1", {"State": "open"}, {"spotwave-ish": "x"}),
    ]
    block = cloud_at(aws)
    found = block.leftovers(KEY)
    secret = next(one for one in found if one.kind == "secret")
    assert {one.id for one in found} == {*left, f"spotwave/{KEY}"}
    assert {one.job_key for one in block.leftovers()} == {KEY, "sw-lost"}
    assert secret.deadline == machine.deadline
    assert secret.created_at is not None
    assert {one.deadline for one in found if one.kind != "secret"} == {1800000000.0}
    for one in block.leftovers():
        block.remove(one)
        block.remove(one)
    assert block.leftovers() == []
    # The running machine still has all its resources, and so have other owners.
    assert at.find() == [machine]
    at.terminate(machine)
    assert {item.id for item in aws.ledger.left()} == set(strangers)


def checked(emulator: AwsEmulator, **fields: Any) -> dict[str, Finding]:
    found = list(cloud_at(emulator, attempts=1, **fields).check())
    assert all("\n" not in one.said and SECRET not in one.said for one in found)
    return {one.what: one for one in found}


def test_check_reports_everything_missing_with_its_remedy(aws: AwsEmulator) -> None:
    aws.account.profiles.clear()
    aws.account.has_used_spot = False
    aws.account.quota_vcpus["eu-west-1"] = 0
    aws.account.subnets["eu-west-1"] = []
    aws.account.images["us-east-1"].append(image_row("ami-1", "arm64"))
    aws.fail(fault("GetServiceQuota", refused("AccessDeniedException", 400), "us-east-1"))
    aws.fail(fault("CreateSecret", refused("AccessDeniedException", 400)))
    found = checked(aws, regions=["us-east-1", "eu-west-1", "me-south-1"], image="ami-1")
    said = {name: one.said for name, one in found.items() if one.ok is not True}
    assert found["image us-east-1"].said == "ami-1: arm64 ami-1; none for x86_64: offers with it are skipped"
    assert set(said) == {
        "regions",
        "role",
        "spot role",
        "quota us-east-1",
        "quota eu-west-1",
        "image eu-west-1",
        "network eu-west-1",
        "secret",
        "launch",
    }
    assert said["regions"] == "me-south-1 not enabled; enable them for the account, or leave out"
    assert said["role"] == "instance_profile: spotwave-machine does not exist; create it, see docs/accounts/aws.md"
    assert "aws iam create-service-linked-role" in said["spot role"]
    assert said["quota eu-west-1"].startswith("0 spot vCPUs; request more")
    assert "copy one there" in said["image eu-west-1"]
    assert "aws ec2 create-default-vpc" in said["network eu-west-1"]
    assert "aws-launcher.json" in said["secret"]
    assert found["quota us-east-1"].ok is None


def test_check_raises_nothing_whatever_the_services_answer(aws: AwsEmulator) -> None:
    aws.account.subnets["us-east-1"] = []
    for action in ("GetInstanceProfile", "GetServiceQuota", "GetParameter", "CreateSecret"):
        aws.fail(fault(action, garbage()))
    aws.fail(fault("GetRole", cut()))
    found = checked(aws)
    assert found["launch"].said == "no subnet in us-east-1 to try a launch in"
    assert {found[name].ok for name in ("role", "spot role", "quota us-east-1", "image us-east-1")} <= {False, None}


def test_missing_launch_permission_is_found_without_a_launch(aws: AwsEmulator) -> None:
    aws.fail(fault("RunInstances", refused("UnauthorizedOperation")))
    assert checked(aws)["launch"].said.endswith(
        "credentials: give them the policy deployments/policies/aws-launcher.json"
    )
    assert aws.count("RunInstances") == 1


def test_check_uses_short_timeouts(aws: AwsEmulator) -> None:
    block = cloud_at(aws)
    parameters = block.credentials.aws_client_parameters.model_copy(update={"config": None})
    credentials = block.credentials.model_copy(update={"aws_client_parameters": parameters})
    brisk, patient = Clients(credentials, brisk=True), Clients(credentials)
    aws.fail(fault("DescribeRegions", server_error()))
    with pytest.raises(Throttled):
        brisk.listed("ec2", "us-east-1", "describe_regions", "Regions")
    assert aws.count("DescribeRegions") == 2
    aws.heal()
    assert patient.listed("ec2", "us-east-1", "describe_regions", "Regions")


def statements(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((POLICIES / name).read_text())["Statement"]
    assert all(one["Effect"] == "Allow" for one in found)
    return found


def actions(name: str) -> set[str]:
    found = [one["Action"] for one in statements(name)]
    return {action for listed in found for action in ([listed] if isinstance(listed, str) else listed)}


def test_launchers_policy_allows_exactly_the_operations_in_use() -> None:
    asked = {
        f"{'servicequotas' if service == 'service-quotas' else service}:{operation}"
        for service, operations in OPERATIONS.items()
        for operation in operations
    }
    # Used by other clients, or permissions without a call of their own.
    beside = {
        "pricing:GetProducts",
        "ec2:CreateTags",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
        "secretsmanager:TagResource",
    }
    assert actions("aws-launcher.json") == asked | beside
    everywhere = [one for one in statements("aws-launcher.json") if one["Resource"] == "*" and "Condition" not in one]
    assert [one["Sid"] for one in everywhere] == ["Look"]
    assert all(":Describe" in name or ":Get" in name or ":List" in name for name in everywhere[0]["Action"])


def test_machine_policy_allows_only_secrets_of_jobs() -> None:
    assert actions("aws-machine.json") == {"secretsmanager:GetSecretValue"}
    (only,) = statements("aws-machine.json")
    assert only["Resource"] == "arn:aws:secretsmanager:*:*:secret:spotwave/*"
    assert actions("aws-machine-trust.json") == {"sts:AssumeRole"}
