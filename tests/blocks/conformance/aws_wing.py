"""Emulated AWS, for the conformance tests of all providers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import boto3
from botocore.exceptions import ClientError

from spotwave.blocks.aws.block import AwsCloud
from spotwave.blocks.models import Machine, MachineState
from tests.blocks import aws_kit
from tests.blocks.conformance.wing import MachinesLike, RentedWing
from tests.blocks.machine_kit import JOB_KEY
from tests.emulators import aws
from tests.emulators.aws import AwsEmulator
from tests.emulators.aws_cloud import cloud_at
from tests.emulators.aws_requests import form_of
from tests.emulators.cloud_init import script_of

REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")


class AwsWing(RentedWing):
    kind = "aws"
    emulator: AwsEmulator
    offer = aws_kit.offer()
    another_type = aws_kit.offer("c7i.xlarge")
    next_zone = aws_kit.offer(zone="us-east-1b")
    elsewhere = aws_kit.offer("m6g.large", "eu-west-1b")
    parts: ClassVar = ["disk", "ip", "machine", "nic", "secret", "spot request"]
    kept: ClassVar = ["secret"]
    orphans: ClassVar = ["disk"]
    after_loss = MachineState.INTERRUPTED
    after_poweroff = MachineState.GONE  # by the launch parameters
    checked: ClassVar = [
        *("credentials", "regions", "role", "spot role", "secret", "launch"),
        *(f"{what} {region}" for what in ("quota", "image", "network") for region in REGIONS),
    ]
    calls: ClassVar = {
        "launch": "RunInstances",
        "list": "DescribeInstances",
        "state": "DescribeInstances",
        "end": "TerminateInstances",
        "secret": "CreateSecret",
        "identity": "GetCallerIdentity",
        "remove": "DeleteSecret",
        "leftovers": "DescribeVolumes",
    }
    denied: ClassVar = {
        "": aws.refused("UnauthorizedOperation"),
        "secret": aws.refused("AccessDeniedException", 400),
        "remove": aws.refused("AccessDeniedException", 400),
        "identity": aws.refused("InvalidClientTokenId"),
    }
    remedies: ClassVar = {"": r"aws-launcher\.json", "identity": "check the keys of the AWS Credentials block"}
    server_error = staticmethod(aws.server_error())
    throttled = staticmethod(aws.throttled())
    most_tries = 3
    longest_token = 64
    secret_calls: ClassVar = {"CreateSecret", "PutSecretValue"}
    secret_name = f"spotwave/{JOB_KEY}"
    states: ClassVar = [
        (("pending", ""), MachineState.PENDING),
        (("running", ""), MachineState.RUNNING),
        (("shutting-down", "Server.SpotInstanceTermination"), MachineState.INTERRUPTED),
        (("terminated", "Server.SpotInstanceTermination"), MachineState.INTERRUPTED),
        (("terminated", "Server.InternalError"), MachineState.INTERRUPTED),
        (("shutting-down", "Client.UserInitiatedShutdown"), MachineState.STOPPING),
        (("terminated", "Client.UserInitiatedShutdown"), MachineState.GONE),
        (("stopping", "Client.InstanceInitiatedShutdown"), MachineState.STOPPING),
        (("stopped", "Client.InstanceInitiatedShutdown"), MachineState.STOPPING),
        (("terminated", "Client.InstanceInitiatedShutdown"), MachineState.GONE),
        (("terminated", ""), MachineState.GONE),
    ]

    def __init__(self, emulator: AwsEmulator) -> None:
        self.emulator = emulator

    def block(self, **fields: Any) -> AwsCloud:
        return cloud_at(self.emulator, attempts=2, **fields)

    def machines(self, template: str | None = None) -> MachinesLike:
        return self.block().machines(template)

    def tokens(self) -> list[str]:
        forms = [form_of(one) for one in self.emulator.received if self.emulator.name_of(one).startswith("RunInst")]
        return [form["ClientToken"] for form in forms]

    def put_into(self, machine: Machine, state: tuple[str, str]) -> None:
        one = self.emulator.fleet.instances[machine.id]
        one.state, one.reason = state

    def stop(self, machine: Machine) -> None:
        """Stop the instance directly: its shutdown behaviour would terminate it."""
        self.put_into(machine, ("stopped", ""))

    def user_data(self, machine: Machine) -> str:
        return script_of(base64.b64decode(self.emulator.fleet.instances[machine.id].asked["UserData"]))

    def forget_offer(self, machine: Machine) -> None:
        del self.emulator.fleet.instances[machine.id].tags["spotwave-offer-0"]

    def orphan(self, machine: Machine) -> None:
        one = self.emulator.fleet.instances[machine.id]
        one.disks = dict.fromkeys(one.disks, False)
        self.emulator.fleet.lose(machine.id)

    def no_quota(self, region: str) -> None:
        self.emulator.account.quota_vcpus[region] = 1

    def close(self, region: str) -> None:
        self.emulator.account.closed[region] = ""

    def secret_reader(self, machine: Machine, token: str | None = None) -> Callable[[], int]:
        its = self.emulator.fleet.instances[machine.id].metadata.credentials
        client = boto3.client(
            "secretsmanager",
            "us-east-1",
            endpoint_url=self.emulator.url,
            aws_access_key_id=its["AccessKeyId"],
            aws_secret_access_key=token or its["SecretAccessKey"],
            aws_session_token=its["Token"],
        )

        def read() -> int:
            try:
                client.get_secret_value(SecretId=self.secret_name)
            except ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            return 200

        return read

    def ended_itself(self, machine: Machine) -> bool:
        return self.emulator.fleet.instances[machine.id].reason == "Client.InstanceInitiatedShutdown"

    def not_here(self) -> AwsCloud:
        block = self.block()
        parameters = block.credentials.aws_client_parameters.model_copy(update={"endpoint_url": None})
        credentials = block.credentials.model_copy(update={"aws_client_parameters": parameters})
        return block.model_copy(update={"credentials": credentials})


@contextmanager
def made(folder: Path, boots: bool) -> Iterator[AwsWing]:
    with AwsEmulator(boots=boots, folder=folder) as emulator:
        yield AwsWing(emulator)
