"""Launch, find and terminate EC2 instances with the real SDK."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from pydantic import SecretStr

from spotwave.blocks.aws.launch_parameters import token_of
from spotwave.blocks.errors import Capacity, Throttled
from spotwave.blocks.tags import tags_of
from tests.blocks.aws_kit import KEY, brief, machines, offer
from tests.emulators.aws import AwsEmulator, fault, refused, server_error
from tests.emulators.aws_account import ami, image_row
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.cloud_init import script_of
from tests.emulators.server import Fault, cut


def test_launch_parameters(aws: AwsEmulator) -> None:
    wanted, what = offer(zone="us-east-1b"), brief()
    machines(aws).launch(wanted, what)
    asked = dict(aws.fleet.asked[0])
    user_data = script_of(base64.b64decode(asked.pop("UserData")))
    tagged = asked.pop("TagSpecification")
    subnet = next(row for row in aws.account.subnets["us-east-1"] if row["AvailabilityZone"] == "us-east-1b")
    assert asked == {
        "ImageId": ami("us-east-1", "ubuntu-24.04", "x86_64"),
        "InstanceType": "c7i.large",
        "MinCount": "1",
        "MaxCount": "1",
        "ClientToken": token_of(wanted, what),
        "SubnetId": subnet["SubnetId"],
        "InstanceMarketOptions": {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        },
        "InstanceInitiatedShutdownBehavior": "terminate",
        "IamInstanceProfile": {"Name": "spotwave-machine"},
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": "1"},
        "BlockDeviceMapping": [
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": "30", "VolumeType": "gp3", "DeleteOnTermination": "true"}}
        ],
    }
    made = ["instance", "volume", "network-interface", "spot-instances-request"]
    assert [one["ResourceType"] for one in tagged] == made
    for one in tagged:
        tags = {tag["Key"]: tag["Value"] for tag in one["Tag"]}
        assert tags_of(what).items() <= tags.items()
        assert tags["Name"] == f"{KEY}-1"
    assert "export SPOTWAVE_SECRET_REGION=us-east-1" in user_data.splitlines()


def test_real_bootstrap_leaves_room_for_a_long_remote(aws: AwsEmulator) -> None:
    path = "drive:" + "/".join(f"folder-{number:03}" for number in range(80))
    what = replace(brief(), brief=replace(brief().brief, remote=path))
    machines(aws, None).launch(offer(), what)
    user_data = base64.b64decode(aws.fleet.asked[0]["UserData"])
    assert len(user_data) <= 10_000
    assert f"export SPOTWAVE_REMOTE={path}\n" in script_of(user_data)


def test_placement_reads_image_network_and_secret_once(aws: AwsEmulator) -> None:
    """Once per region; another process, or a secret with other content, repeats the calls."""
    types = ("c7i.large", "c7i.xlarge", "c7i.2xlarge")
    offers = [offer(name, zone=zone) for name in types for zone in ("us-east-1a", "us-east-1b")]
    aws.fleet.exhausted.update((one.instance_type, str(one.zone)) for one in offers[:-1])
    cloud, what = cloud_at(aws, attempts=2), brief()
    for wanted in offers[:-1]:
        with pytest.raises(Capacity):
            cloud.launch(wanted, what)
    [machine] = cloud.launch(offers[-1], what)
    assert machine.zone == "us-east-1b"
    asked = ("GetParameter", "DescribeImages", "DescribeSubnets", "CreateSecret", "PutSecretValue", "RunInstances")
    assert [aws.count(action) for action in asked] == [1, 1, 1, 1, 0, 6]
    cloud.launch(offers[-1], replace(brief(attempt=2), secrets={"api.json": SecretStr("of the second")}))
    assert [aws.count(action) for action in asked] == [1, 1, 1, 2, 1, 7]
    cloud.launch(offer(zone="eu-west-1a"), what)
    assert [aws.count(action) for action in asked] == [2, 2, 2, 2, 1, 8]
    cloud_at(aws, attempts=2).launch(offers[-1], brief(attempt=3))
    assert [aws.count(action) for action in asked] == [3, 3, 3, 3, 2, 9]


def test_burstable_machine_is_launched_without_paid_credits(aws: AwsEmulator) -> None:
    machines(aws).launch(offer("t3.large", burstable=True), brief())
    assert aws.fleet.asked[0]["CreditSpecification"] == {"CpuCredits": "standard"}


@pytest.mark.parametrize("image", ["ubuntu-24.04", "al2023"])
def test_every_region_and_architecture_has_its_image(aws: AwsEmulator, image: str) -> None:
    at = machines(aws, image=image)
    at.launch(offer("m6g.large", "eu-west-1a"), brief())
    at.launch(offer("c7i.large", "ap-south-1a"), brief())
    arm, x86 = aws.fleet.asked
    assert arm["ImageId"] == ami("eu-west-1", image, "arm64")
    assert x86["ImageId"] == ami("ap-south-1", image, "x86_64")
    root = "/dev/xvda" if image == "al2023" else "/dev/sda1"
    assert [disk["DeviceName"] for disk in arm["BlockDeviceMapping"]] == [root]


def test_own_image_is_chosen_by_architecture_and_its_disks_are_deleted(aws: AwsEmulator) -> None:
    baked = image_row("ami-2", "arm64", gib=50)
    baked["BlockDeviceMappings"].append(
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5, "DeleteOnTermination": False}}
    )
    aws.account.images["us-east-1"] += [image_row("ami-1", "x86_64"), baked]
    at = machines(aws, image="ami-1, ami-2")
    [machine] = at.launch(offer("m6g.large"), brief())
    assert aws.fleet.asked[0]["ImageId"] == "ami-2"
    disks = {one["DeviceName"]: one["Ebs"]["VolumeSize"] for one in aws.fleet.asked[0]["BlockDeviceMapping"]}
    assert disks == {"/dev/sda1": "50", "/dev/sdf": "5"}  # not smaller than the image
    at.terminate(machine)
    assert aws.left() == ["secret"]


def test_own_subnets_are_used_in_their_zones(aws: AwsEmulator) -> None:
    first = {**aws.account.subnets["eu-west-1"][0], "SubnetId": "subnet-own", "DefaultForAz": False}
    second = {**first, "SubnetId": "subnet-a", "AvailableIpAddressCount": 60000}
    aws.account.subnets["eu-west-1"] += [second, first]
    at = machines(aws, subnets=["subnet-of-another-region", "subnet-own", "subnet-a"])
    at.launch(offer(zone="eu-west-1a"), brief())
    assert aws.fleet.asked[0]["SubnetId"] == "subnet-own"


def test_launch_with_changed_settings_adopts_the_machine(aws: AwsEmulator) -> None:
    """After a restart of the controller the parameters may differ, e.g. a newer image or a new price."""
    what = brief()
    [first] = machines(aws).launch(offer(), what)
    [again] = machines(aws, image="al2023").launch(offer(spot_usd_h=0.03), what)
    assert again == first  # with the price of its launch
    assert len(aws.fleet.instances) == 1
    aws.fleet.lose(first.id)
    with pytest.raises(Capacity, match="was interrupted"):
        machines(aws, image="al2023").launch(offer(), what)
    assert len(aws.fleet.instances) == 1


def test_repeated_token_does_not_relaunch_a_lost_machine(aws: AwsEmulator) -> None:
    what = brief()
    aws.fleet.lose(machines(aws).launch(offer(), what)[0].id)
    with pytest.raises(Capacity, match=r"^aws us-east-1a: a machine of this attempt was interrupted"):
        machines(aws).launch(offer(), what)


def test_region_without_answer_does_not_count_as_empty(aws: AwsEmulator) -> None:
    aws.fail(fault("DescribeInstances", server_error(), "ap-south-1"))
    with pytest.raises(Throttled, match="ap-south-1: DescribeInstances"):
        cloud_at(aws, attempts=1).find()
    aws.heal()
    # A company may deny regions to everyone; then no machine of Spotwave can be there.
    aws.fail(fault("DescribeInstances", refused("UnauthorizedOperation"), "ap-south-1"))
    assert cloud_at(aws, attempts=1).find() == []
    aws.fail(fault("DescribeInstances", refused("UnauthorizedOperation"), "us-east-1"))
    with pytest.raises(Throttled, match="UnauthorizedOperation; credentials: give them the policy"):
        cloud_at(aws, attempts=1).find()


def test_secret_still_being_deleted_is_throttled(aws: AwsEmulator) -> None:
    aws.fail(fault("CreateSecret", refused("InvalidRequestException", 400), times=1))
    with pytest.raises(Throttled, match="still being deleted") as error:
        machines(aws).launch(offer(), brief())
    assert error.value.retry_after_s >= 5
    assert aws.count("RunInstances") == 0
    machines(aws).launch(offer(), brief())


def test_truncated_image_parameter_is_read_again(aws: AwsEmulator) -> None:
    aws.fail(Fault(lambda request: aws.name_of(request).startswith("GetParameter"), cut(), 1))
    machines(aws).launch(offer(), brief())
    assert aws.count("GetParameter") == 2
