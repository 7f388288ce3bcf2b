"""AWS: the documented policies grant each caller exactly the rights that its calls need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spotwave.blocks.errors import LaunchRefused
from tests.blocks.aws_kit import KEY, PLANTED, TEMPLATE, brief, offer
from tests.blocks.machine_kit import until
from tests.emulators.aws_cloud import cloud_at
from tests.security.api_walkthroughs import MACHINE, billed, looked_at, removed
from tests.security.aws_iam import GuardedAws, policy
from tests.security.guard import Right, contains_secret
from tests.security.iam_policy import actions, allows

TAGS = {"spotwave": KEY, "spotwave-deadline": "1800000000"}
LEFT = {
    "disk": {"State": "available", "AvailabilityZone": "us-east-1a"},
    "nic": {"Status": "available"},
    "spot request": {"State": "open"},
}


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[GuardedAws]:
    with GuardedAws(folder=tmp_path / "machines") as emulator:
        yield emulator


def test_policies_grant_exactly_the_used_rights(aws: GuardedAws) -> None:
    cloud = cloud_at(aws, attempts=2)
    assert [finding for finding in looked_at(cloud) if not finding.ok and "launch" in finding.what] == []
    aws.account.has_used_spot = False
    at = cloud.machines(MACHINE)
    [machine] = at.launch(offer(), brief())
    aws.account.has_used_spot = True
    computer = aws.computers[machine.id]
    until((computer.work / "up").exists)
    assert (computer.work / "kept/rclone.conf").exists()
    # A new process does not know that the secret is written already.
    [second] = cloud_at(aws, attempts=2).machines(TEMPLATE).launch(offer(), brief(attempt=2))
    at.state(second)
    at.terminate(second)
    billed(cloud, second)
    (computer.work / "end").touch()
    until(lambda: not computer.alive)
    for kind, row in LEFT.items():
        aws.fleet.leave(kind, "us-east-1", row, TAGS)
    removed(cloud, "disk", "nic", "spot request", "secret")
    assert aws.unknown == []
    assert aws.lacked == {}
    # The job's secrets go to the vault, and nowhere else: not into user data, tags, or whatever a call says.
    with_secret = {aws.name_of(one).partition(" ")[0] for one in aws.requests if contains_secret(one, PLANTED)}
    assert with_secret == {"CreateSecret", "PutSecretValue"}
    assert aws.used == {"launcher": actions(policy("launcher")), "machine": actions(policy("machine"))}


def test_drill_needs_separate_policy(aws: GuardedAws) -> None:
    aws.has_used_fis = False
    role = "arn:aws:iam::123456789012:role/spotwave-fault"
    cloud = cloud_at(aws, attempts=1, fault_role=role)
    [machine] = cloud.machines("@SETTINGS@\n@BRIEF@\n").launch(offer(), brief())
    cloud.force_interruption(machine)
    assert aws.lacked == {}
    assert aws.used["drill"] == actions(policy("drill"))
    # The rights of the experiment itself, by its role.
    instance = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{machine.id}"
    send = "ec2:SendSpotInstanceInterruptions"
    assert actions(policy("fault")) == {send}
    assert allows(policy("fault"), Right(send, instance, {"aws:ResourceTag/spotwave": KEY}))
    assert not allows(policy("fault"), Right(send, instance, {"aws:ResourceTag/owner": "somebody"}))
    del aws.policies["drill"]["Statement"][:]
    with pytest.raises(LaunchRefused):
        cloud.force_interruption(machine)
    assert aws.lacked == {"launcher": {"fis:CreateExperimentTemplate"}}


def test_untagged_resources_cannot_be_removed(aws: GuardedAws) -> None:
    """In case of stolen launcher credentials, or a bug."""
    cloud = cloud_at(aws, attempts=1)
    for kind, row in LEFT.items():
        id_ = aws.fleet.leave(kind, "us-east-1", row, TAGS)
        (found,) = cloud.leftovers()
        aws.fleet.things[id_].tags = {"owner": "somebody"}
        with pytest.raises(LaunchRefused, match=r"aws-launcher\.json"):
            cloud.remove(found)
        assert id_ in {item.id for item in aws.ledger.left()}
    [machine] = cloud.machines(TEMPLATE).launch(offer(), brief())
    aws.fleet.instances[machine.id].tags.clear()
    with pytest.raises(LaunchRefused, match=r"aws-launcher\.json"):
        cloud.terminate(machine)
    assert aws.computers[machine.id].alive


ACCOUNT = "123456789012"
OURS = {"aws:RequestTag/spotwave": KEY, "ec2:InstanceMarketType": "spot"}
INSTANCE = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*"


@pytest.mark.parametrize(
    ("right", "why"),
    [
        (Right("ec2:RunInstances", INSTANCE, {"ec2:InstanceMarketType": "spot"}), "without our tag"),
        (Right("ec2:RunInstances", INSTANCE, {**OURS, "ec2:InstanceMarketType": "on-demand"}), "at the full price"),
        (Right("ec2:CreateTags", INSTANCE, {"aws:RequestTag/spotwave": KEY}), "our tag on a machine of others"),
        (Right("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "ec2.amazonaws.com"}), ""),
        (Right("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/spotwave-machine", {"iam:PassedToService": "lambda"}), ""),
        (Right("iam:CreateServiceLinkedRole", f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x"), "another service"),
        (Right("secretsmanager:DeleteSecret", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod-x"), "others'"),
        (Right("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:spotwave/x"), ""),
        (Right("ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/password"), "the user's parameters"),
        (Right("ec2:StopInstances", INSTANCE), ""),
        (Right("ec2:ModifyInstanceAttribute", INSTANCE), ""),
    ],
)
def test_launcher_lacks_right(right: Right, why: str) -> None:
    assert not allows(policy("launcher"), right), why


def test_machine_lacks_rights() -> None:
    machine = policy("machine")
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret"
    assert allows(machine, Right("secretsmanager:GetSecretValue", f"{secret}:spotwave/{KEY}-aBcDeF"))
    assert not allows(machine, Right("secretsmanager:GetSecretValue", f"{secret}:prod-aBcDeF"))
    for action in ("secretsmanager:ListSecrets", "secretsmanager:PutSecretValue", "ec2:TerminateInstances"):
        assert not allows(machine, Right(action, f"{secret}:spotwave/{KEY}-aBcDeF"))


def test_removed_right_is_detected(aws: GuardedAws) -> None:
    """Control: the guard really rejects calls; otherwise the first test would prove nothing."""
    statements = aws.policies["launcher"]["Statement"]
    statements[:] = [one for one in statements if one["Sid"] != "TagWhatIsLaunched"]
    with pytest.raises(LaunchRefused, match=r"aws-launcher\.json"):
        cloud_at(aws, attempts=1).machines(TEMPLATE).launch(offer(), brief())
    assert aws.lacked == {"launcher": {"ec2:CreateTags"}}
    assert aws.computers == {}
