"""What EC2's error codes mean for a launch (EC2 API, error codes; the table of Karpenter's AWS provider)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    HTTPClientError,
)
from botocore.exceptions import ConnectionError as NotConnected
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

from spotwave.blocks.aws import error_text
from spotwave.blocks.concurrent import Unavailable
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

# No such machine here now; `Unsupported` and `InvalidAvailabilityZone`: this zone does not have the type.
_CAPACITY = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientCapacity",
    "UnfulfillableCapacity",
    "SpotMaxPriceTooLow",
    "Unsupported",
    "InvalidAvailabilityZone",
}
VCPUS = {"MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"}  #: too many vCPUs of the type's class (blocks.aws.quotas)
_REGION = {
    "InstanceLimitExceeded": "ask for more instances under Service Quotas",
    "VolumeLimitExceeded": "ask for more gp3 storage under Service Quotas, or delete volumes",
    "AddressLimitExceeded": "ask for more addresses under Service Quotas",
    "VPCIdNotSpecified": "make a default VPC with `aws ec2 create-default-vpc`, or name subnets in the block",
    "OptInRequired": "enable the region for the account",
    "PendingVerification": "Amazon is verifying the account for this region; wait for its mail",
}
_LASTING = {"VPCIdNotSpecified", "OptInRequired"}  # until somebody changes the account
_TRANSIENT = {
    "InternalError",
    "InternalFailure",
    "InternalServiceError",
    "InternalServerError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Unavailable",
}
_TOO_FAST = {
    "RequestLimitExceeded",
    "EC2ThrottledException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
}
_MAKE_PROFILE = "instance_profile: create it, see docs/accounts/aws.md"
_KEYS = "credentials: check the keys of the AWS Credentials block"
_RENEW = "credentials: renew the session token of the AWS Credentials block"
_RIGHTS = "credentials: give them the policy deployments/policies/aws-launcher.json"
_SETTINGS = "image, subnets, instance_profile: check what the block names"
_MISCONFIGURED = {
    "UnauthorizedOperation": _RIGHTS,
    "AccessDenied": _RIGHTS,
    "AccessDeniedException": _RIGHTS,
    "AuthFailure": _KEYS,
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "credentials: run `aws iam create-service-linked-role "
    "--aws-service-name spot.amazonaws.com` once",
    "InvalidClientTokenId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "InvalidSignatureException": _KEYS,
    "UnrecognizedClientException": _KEYS,
    "IncompleteSignature": _KEYS,
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "RequestExpired": "set the clock of this computer",
    "IdempotentParameterMismatch": "the block's settings were changed while this attempt was launched; start it anew",
    "InvalidUserData.Malformed": "the machine's bootstrap script is broken",
    "OperationNotPermitted": "the account may not launch; ask AWS Support",
    "InvalidSubnetID.NotFound": "subnets: name subnets that exist",
    "Blocked": "the account is blocked; ask AWS Support",
}
_PREFIXES = {
    "AuthFailure": _KEYS,
    "InvalidAMIID": "image: name an image that exists in the region and that the account may use",
    "InvalidParameter": _SETTINGS,
    "InvalidSubnet": "subnets: check what the block names",
    "InvalidBlockDeviceMapping": "image: its disks do not fit",
    "Missing": _SETTINGS,
    "KMS": "the account's default key for disks cannot be used; allow it to the credentials",
}
# Of the organization, or of whoever gave the rights; since 2026 with the policy's ARN (IAM User Guide, Troubleshoot
# access denied error messages). As a rule it is about the region, which RunInstances cannot be told apart from others.
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_SAYS_MORE = ("InvalidParameter", "InvalidBlockDeviceMapping", "Missing")
_LONG = re.compile(r"[\w+/=-]{40,}")


class Lost(Throttled):
    """No answer, or one that does not tell whether it was done: to be repeated with the same token."""


class UnknownProfile(Misconfigured):
    """EC2 does not know the instance profile: there is none, or it was made a moment ago."""


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) or "an error without a code"


def code_behind(refused: LaunchRefused) -> str:
    """The service's own code that became a refusal; '' if it was none."""
    cause = refused.__cause__
    if isinstance(cause, Unavailable):
        cause = cause.__cause__
    return code_of(cause) if isinstance(cause, ClientError) else ""


def refusal(error: ClientError, where: str) -> LaunchRefused:
    """The typed reason of an error; where: the zone or region, for people."""
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    said = f"aws {where}: {error.operation_name}: {code}"
    if code in _CAPACITY:
        return Capacity(said)
    if code == "InsufficientFreeAddressesInSubnet":
        return Quota(f"{said}; subnets: the zone's subnet is full, name a larger one", "zone")
    if code in VCPUS:
        # Which type was asked for, and so which class, the caller knows (`blocks.aws.machines`).
        return Quota(f"{said}; ask for more spot vCPUs under Service Quotas", "type")
    if code in _REGION:
        return Quota(f"{said}; {_REGION[code]}", "region", lasting=code in _LASTING)
    if code in _TOO_FAST:
        return Throttled(said)
    if code in _TRANSIENT:
        return Lost(said)
    if code.startswith("InvalidInstanceType") or (
        code.startswith("InvalidParameter") and error_text.is_misfit(message)
    ):
        return Unfit(f"{said}{_short(code, message)}")
    if code in _DENIED and (deny := error_text.explicit_deny(message)):
        which = f" {deny.policy}" if deny.policy else ""
        return Closed(f"{said}: an explicit deny in a {deny.kind} policy{which}; ask who runs the account")
    remedy = _MISCONFIGURED.get(code) or next(
        (remedy for prefix, remedy in _PREFIXES.items() if code.startswith(prefix)), None
    )
    if code.startswith("InvalidIamInstanceProfile") or (
        code.startswith("InvalidParameter") and error_text.is_about_profile(message)
    ):
        return UnknownProfile(f"{said}{_short(code, message)}; {_MAKE_PROFILE}")
    if remedy is not None:
        return Misconfigured(f"{said}{_short(code, message)}; {remedy}")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Lost(said) if status >= 500 else Unclear(said)


@contextmanager
def typed(where: str, doing: str) -> Iterator[None]:
    """Turns the SDK's errors into a `LaunchRefused`; doing: the operation, for people."""
    try:
        yield
    except ClientError as error:
        raise refusal(error, where) from error
    except (NotConnected, HTTPClientError, ResponseParserError) as error:
        raise Lost(f"aws {where}: {doing}: no answer ({type(error).__name__}); check the network") from error
    except BotoCoreError as error:
        raise Misconfigured(f"aws {where}: {doing}: {type(error).__name__}; {_KEYS}") from error


def _short(code: str, message: str) -> str:
    """The cloud's own words where the code alone says too little; what might be a key or a request is left out."""
    if not code.startswith(_SAYS_MORE) or not message:
        return ""
    return f" ({_LONG.sub('…', ' '.join(message.split()))[:160]})"
