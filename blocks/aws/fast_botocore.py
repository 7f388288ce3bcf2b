"""botocore spared what the wing has no use for; a market of 34 regions took 5 s of CPU without, and takes 2 s with it.

Each class stands in for a public component of a botocore session, and is set on a session of the wing's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any

from botocore.loaders import create_loader  # type: ignore[import-untyped]

# A client is made for every region, and makes a method for each of EC2's 800 operations. Name here what the wing asks;
# deployments/policies/aws-launcher.json allows it.
OPERATIONS = {
    "ec2": {
        "CancelSpotInstanceRequests",
        "DeleteNetworkInterface",
        "DeleteVolume",
        "DescribeAvailabilityZones",
        "DescribeImages",
        "DescribeInstanceTypeOfferings",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeNetworkInterfaces",
        "DescribeRegions",
        "DescribeSpotInstanceRequests",
        "DescribeSpotPriceHistory",
        "DescribeSubnets",
        "DescribeVolumes",
        "RunInstances",
        "TerminateInstances",
    },
    "iam": {"GetInstanceProfile", "GetRole"},
    "secretsmanager": {"CreateSecret", "DeleteSecret", "ListSecrets", "PutSecretValue"},
    "service-quotas": {"GetServiceQuota"},
    "ssm": {"GetParameter"},
    "sts": {"GetCallerIdentity"},
}


class Loader:
    """A botocore data loader: the usual one, with only the operations in use."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        model = self._usual.load_service_model(service_name, type_name, api_version)
        if type_name != "service-2" or service_name not in OPERATIONS:
            return model
        return {**model, "operations": {name: model["operations"][name] for name in OPERATIONS[service_name]}}


@cache
def loader(data_path: str | None) -> Loader:
    """Kept, since to read EC2's description takes as long as to read a region's prices."""
    return Loader(create_loader(data_path))


class Parsers:
    """A botocore response parser factory: the usual one, but for the long answers of EC2."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual
        # Far cheaper than botocore's own, which guesses at formats.
        usual.set_parser_defaults(timestamp_parser=_timestamp)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)

    def create_parser(self, protocol_name: str) -> Any:
        usual = self._usual.create_parser(protocol_name)
        return _Ec2Parser(usual) if protocol_name == "ec2" else usual


def _timestamp(value: str | float) -> datetime:
    """XML has texts, JSON has Unix seconds."""
    return datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)


class _Ec2Parser:
    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def parse(self, response: dict[str, Any], shape: Any) -> Any:
        if response["status_code"] == 200 and shape is not None:
            if shape.name in _TABLES:
                found = table_answer(response["body"], _TABLES[shape.name])
                if found is not None:
                    return found
            if shape.name == "DescribeInstanceTypesResult":
                response = {**response, "body": _UNUSED.sub(b"", response["body"])}
        return self._usual.parse(response, shape)


# Three quarters of a type's description.
_UNUSED = re.compile(rb"<(networkInfo|ebsInfo|placementGroupInfo|instanceStorageInfo|validCores)>.*?</\1>", re.DOTALL)

_TOKEN = re.compile(rb"<nextToken>([^<&]*)</nextToken>|<nextToken ?/>")


@dataclass(frozen=True)
class Table:
    """An answer of EC2 (API 2016-11-15) that is a list of rows of plain texts."""

    action: str
    rows: str  #: the member that holds them
    members: tuple[str, ...]
    optional: tuple[str, ...] = ()  #: of all rows, or of none

    @cached_property
    def patterns(self) -> dict[str, re.Pattern[bytes]]:
        return {name: re.compile(f"<{name[0].lower()}{name[1:]}>([^<&]*)</".encode()) for name in self.members}


SPOT_PRICES = Table(
    "DescribeSpotPriceHistory",
    "SpotPriceHistory",
    ("AvailabilityZone", "AvailabilityZoneId", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp"),
    optional=("AvailabilityZoneId",),
)
OFFERINGS = Table(
    "DescribeInstanceTypeOfferings", "InstanceTypeOfferings", ("InstanceType", "LocationType", "Location")
)
_TABLES = {f"{table.action}Result": table for table in (SPOT_PRICES, OFFERINGS)}


def table_answer(body: bytes, table: Table) -> dict[str, Any] | None:
    """A whole answer as boto3 gives it.

    None where it is not as plain as it always is, every row with the same members: that is for the usual parser.
    The usual one takes 35 to 50 ms of CPU for 1000 prices, this one 2 ms, and a market has some 60,000.
    """
    rows = body.count(b"<item>")
    tokens = _TOKEN.findall(body)
    columns = {name: pattern.findall(body) for name, pattern in table.patterns.items()}
    plain = {name: column for name, column in columns.items() if column or name not in table.optional}
    whole = body.rstrip().endswith(f"</{table.action}Response>".encode())
    if not whole or len(tokens) > 1 or any(len(column) != rows for column in plain.values()):
        return None
    try:
        read = [
            [datetime.fromisoformat(text.decode()) for text in column]
            if name == "Timestamp"
            else [text.decode() for text in column]
            for name, column in plain.items()
        ]
    except ValueError:
        return None
    return {
        table.rows: [dict(zip(plain, values, strict=True)) for values in zip(*read, strict=True)],
        "NextToken": tokens[0].decode() if tokens else "",
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
