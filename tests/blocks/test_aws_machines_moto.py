"""AWS machines against an unmodified moto, as an independent model of EC2."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import boto3
import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.server import ThreadedMotoServer

from spotwave.blocks.models import MachineState
from tests.blocks.aws_kit import KEY, TEMPLATE, brief, offer
from tests.emulators.aws_cloud import SECRET, cloud_at_url
from tests.emulators.cloud_init import script_of

pytestmark = pytest.mark.slow(minutes=0.2)


@pytest.fixture
def moto_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # It creates a region on first use, which takes long for all 38.
    few = [region for region in RegionsAndZonesBackend.regions if region.name in ("us-east-1", "eu-west-1")]
    monkeypatch.setattr(RegionsAndZonesBackend, "regions", few)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_moto_launches_finds_and_terminates_a_machine(moto_url: str) -> None:
    account = {
        "endpoint_url": moto_url,
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": SECRET,
        "region_name": "us-east-1",
    }
    boto3.client("iam", **account).create_instance_profile(InstanceProfileName="spotwave-machine")
    # Of the public images, moto only has Amazon's own.
    block = cloud_at_url(moto_url, attempts=2, image="al2023")
    at = block.machines(TEMPLATE)
    [machine] = at.launch(offer("m6g.large", "us-east-1b"), brief())
    ec2 = boto3.client("ec2", **account)
    row = ec2.describe_instances(InstanceIds=[machine.id])["Reservations"][0]["Instances"][0]
    assert (row["InstanceType"], row["InstanceLifecycle"]) == ("m6g.large", "spot")
    assert row["Placement"]["AvailabilityZone"] == machine.zone == "us-east-1b"
    assert row["IamInstanceProfile"]["Arn"].endswith("/spotwave-machine")
    assert row["MetadataOptions"]["HttpTokens"] == "required"
    (disk,) = row["BlockDeviceMappings"]
    assert disk["Ebs"]["DeleteOnTermination"] is True
    volume = ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"][0]
    assert (volume["Size"], volume["VolumeType"]) == (30, "gp3")
    assert {"Key": "spotwave", "Value": KEY} in volume["Tags"]

    def attribute(name: str, member: str) -> str:
        return str(ec2.describe_instance_attribute(InstanceId=machine.id, Attribute=name)[member]["Value"])

    assert attribute("instanceInitiatedShutdownBehavior", "InstanceInitiatedShutdownBehavior") == "terminate"
    assert script_of(base64.b64decode(attribute("userData", "UserData"))).startswith("#!/usr/bin/env bash\n")
    assert at.find(KEY) == [machine]
    assert at.state(machine) is MachineState.RUNNING
    at.terminate(machine)
    assert at.state(machine) is MachineState.GONE
    vault = boto3.client("secretsmanager", **account)
    assert [one["Name"] for one in vault.list_secrets()["SecretList"]] == [f"spotwave/{KEY}"]
    assert at.find(KEY) == []
    for leftover in block.leftovers(KEY):
        block.remove(leftover)
    assert vault.list_secrets()["SecretList"] == []
