"""AWS blocks that use the emulator."""

from __future__ import annotations

from typing import Any

from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from spotwave.blocks.aws.block import AwsCloud
from tests.emulators.aws import AwsEmulator

SECRET = "its-secret"


def cloud_at(emulator: AwsEmulator, attempts: int = 5, **fields: Any) -> AwsCloud:
    """attempts: maximum per call, including the first; low values make permanent faults fast."""
    return cloud_at_url(emulator.url, attempts, **fields)


def cloud_at_url(url: str, attempts: int = 5, **fields: Any) -> AwsCloud:
    parameters = AwsClientParameters(
        endpoint_url=url, config={"retries": {"mode": "standard", "total_max_attempts": attempts}}
    )
    credentials = AwsCredentials(
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=SecretStr(SECRET),
        region_name="us-east-1",
        aws_client_parameters=parameters,
    )
    return AwsCloud(credentials=credentials, advisor_endpoint=url, **fields)
