"""Interruptions on demand, requested with the real SDKs: each cloud's own, with its notice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect_aws import AwsCredentials
from pydantic import ValidationError

from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.errors import LaunchRefused, Misconfigured
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.models import Machine, MachineState, Offer
from tests.blocks.aws_kit import TEMPLATE as AWS_TEMPLATE
from tests.blocks.aws_kit import brief as aws_brief
from tests.blocks.aws_kit import offer as aws_offer
from tests.blocks.machine_kit import HEEDING, until
from tests.blocks.machine_kit import brief as a_brief
from tests.emulators import gcp_cloud
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.azure import AzureEmulator, instead, refused
from tests.emulators.azure_kit import block as azure_at
from tests.emulators.azure_kit import offer as azure_offer
from tests.emulators.gcp import GcpEmulator
from tests.emulators.server import Request, Response

ROLE = "arn:aws:iam::123456789012:role/spotwave-fault"
POLICIES = Path(__file__).parents[2] / "deployments/policies"


def read_metadata(
    metadata: Callable[[Request], Response], path: str, headers: dict[str, str], method: str = "GET"
) -> str:
    """Return what a machine reads from its metadata service; '' for a 404."""
    path, _, version = path.partition("?api-version=")
    query = {"api-version": version} if version else {}
    answer = metadata(Request(method, path, query, headers, b"", "http://169.254.169.254"))
    assert answer.status in (200, 404), answer
    return answer.body.decode() if answer.status == 200 else ""


def aws_notice(aws: AwsEmulator, machine: Machine) -> str:
    metadata = aws.fleet.instances[machine.id].metadata
    token = read_metadata(metadata, "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    return read_metadata(metadata, "/latest/meta-data/spot/instance-action", {"x-aws-ec2-metadata-token": token})


def launched(aws: AwsEmulator, cloud: AwsCloud) -> Machine:
    return cloud.machines(AWS_TEMPLATE).launch(aws_offer(zone="eu-west-1a"), aws_brief())[0]


def test_aws_with_a_role_gives_notice_and_deletes_its_template(aws: AwsEmulator) -> None:
    cloud = aws_at(aws, attempts=2, fault_role=ROLE)
    machine = launched(aws, cloud)
    assert cloud.interruption_method.notice
    assert cloud.interruption_method.usd > 0
    assert aws_notice(aws, machine) == ""
    cloud.force_interruption(machine)
    assert json.loads(aws_notice(aws, machine))["action"] == "terminate"
    assert cloud.state(machine) is MachineState.RUNNING, "the machine has two minutes left"
    assert aws.fis.templates == {}
    asked = [call for call in aws.calls if "xperiment" in call]
    assert {call.partition(" ")[2] for call in asked} == {"eu-west-1"}, "the machine's region"
    assert asked[-1].startswith("DeleteExperimentTemplate")


def test_aws_reports_missing_permissions_of_the_role(aws: AwsEmulator) -> None:
    cloud = aws_at(aws, attempts=2, fault_role=ROLE)
    machine = launched(aws, cloud)
    aws.fis.allowed = False
    with pytest.raises(Misconfigured, match="fault_role: give it the policy"):
        cloud.force_interruption(machine)
    assert aws.fis.templates == {}
    assert aws_notice(aws, machine) == ""


def test_aws_without_a_role_terminates_the_machine(aws: AwsEmulator) -> None:
    cloud = aws_at(aws, attempts=2)
    machine = launched(aws, cloud)
    assert not cloud.interruption_method.notice
    assert cloud.interruption_method.usd == 0
    cloud.force_interruption(machine)
    assert cloud.state(machine) is MachineState.GONE
    assert not any("xperiment" in call for call in aws.calls)


@pytest.mark.parametrize("role", ["spotwave-fault", "arn:aws:iam::1:role/x", "arn:aws:iam::123456789012:user/x"])
def test_invalid_role_is_rejected(role: str) -> None:
    with pytest.raises(ValidationError, match="is not a role's ARN"):
        AwsCloud(credentials=AwsCredentials(), fault_role=role)


def test_drill_policy_allows_exactly_the_calls_made(aws: AwsEmulator) -> None:
    cloud = aws_at(aws, attempts=2, fault_role=ROLE)
    cloud.force_interruption(launched(aws, cloud))
    policy = json.loads((POLICIES / "aws-drill.json").read_text())
    allowed = {
        action.removeprefix("fis:")
        for statement in policy["Statement"]
        for action in statement["Action"]
        if action.startswith("fis:")
    }
    asked = {call.partition(" ")[0] for call in aws.calls if "xperiment" in call}
    assert allowed == asked | {"TagResource"}, "also needed to create resources with tags"


def test_google_preempts(google: GcpEmulator) -> None:
    cloud = gcp_cloud.cloud_at(google.url)
    [machine] = cloud.launch(gcp_cloud.offer(), a_brief())
    (instance,) = google.compute.instances.values()
    cloud.force_interruption(machine)
    preempted, flavour = "/computeMetadata/v1/instance/preempted", {"metadata-flavor": "Google"}
    until(lambda: read_metadata(instance.metadata, preempted, flavour) == "TRUE")
    until(lambda: cloud.state(machine) is MachineState.INTERRUPTED)
    with pytest.raises(LaunchRefused):
        cloud.force_interruption(machine)


def test_azure_evicts(azure: AzureEmulator) -> None:
    cloud = azure_at(azure)
    [machine] = cloud.launch(azure_offer(), a_brief())
    name = machine.id.rpartition("/")[2]
    azure.fail(instead(f"virtualMachines.post {name}", refused(403, "AuthorizationFailed"), times=1))
    with pytest.raises(Misconfigured, match="the simulated eviction failed: 403"):
        cloud.force_interruption(machine)
    cloud.force_interruption(machine)
    metadata = azure.resources.vms[machine.id].metadata
    events = "/metadata/scheduledevents?api-version=2020-07-01"
    assert '"Preempt"' in read_metadata(metadata, events, {"metadata": "true"})
    assert cloud.state(machine) is MachineState.RUNNING, "the notice comes first"
    cloud.terminate(machine)
    with pytest.raises(LaunchRefused):
        cloud.force_interruption(machine)


def test_local_cloud_gives_notice_and_returns_at_once(tmp_path: Path) -> None:
    cloud = LocalCloud(folder=str(tmp_path / "machines"), notice_s=30)
    (offer, *_) = cloud.market().frame.to_dicts()
    [machine] = cloud.machines(HEEDING).launch(Offer.model_validate(offer), a_brief())
    place = cloud.machines().place(machine)
    until(lambda: (place / "work/up").exists())
    cloud.force_interruption(machine)
    until(lambda: cloud.state(machine) is MachineState.INTERRUPTED)
    assert (place / "work/saved.json").exists(), "it had time to save"
