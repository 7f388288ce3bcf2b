"""Mapping of EC2's error codes to launch refusals (EC2 API, error codes; the table of Karpenter's AWS provider)."""

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

# No capacity for this type now; `Unsupported` and `InvalidAvailabilityZone`: the zone does not have the type.
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
    "InstanceLimitExceeded": "request more instances under Service Quotas",
    "VolumeLimitExceeded": "request more gp3 storage under Service Quotas, or delete volumes",
    "AddressLimitExceeded": "request more addresses under Service Quotas",
    "VPCIdNotSpecified": "create a default VPC with `aws ec2 create-default-vpc`, or set subnets in the block",
    "OptInRequired": "enable the region for the account",
    "PendingVerification": "Amazon is verifying the account for this region; wait for its mail",
}
_LASTING = {"VPCIdNotSpecified", "OptInRequired"}  # until the account is changed
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
_SETTINGS = "image, subnets, instance_profile: check these fields of the block"
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
    "IdempotentParameterMismatch": "the block's settings were changed while this attempt was launched; start it again",
    "InvalidUserData.Malformed": "the machine's bootstrap script is broken",
    "OperationNotPermitted": "the account may not launch; contact AWS Support",
    "InvalidSubnetID.NotFound": "subnets: use subnets that exist",
    "Blocked": "the account is blocked; contact AWS Support",
}
_PREFIXES = {
    "AuthFailure": _KEYS,
    "InvalidAMIID": "image: use an image that exists in the region and that the account may use",
    "InvalidParameter": _SETTINGS,
    "InvalidSubnet": "subnets: check this field of the block",
    "InvalidBlockDeviceMapping": "image: its disks do not fit",
    "Missing": _SETTINGS,
    "KMS": "the account's default key for disks cannot be used; grant the credentials access to it",
}
# Denied by the organization or an administrator; since 2026 with the policy's ARN (IAM User Guide, Troubleshoot access
# denied error messages). Usually it is about the region, but RunInstances does not tell which denials are.
_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_SAYS_MORE = ("InvalidParameter", "InvalidBlockDeviceMapping", "Missing")
_LONG = re.compile(r"[\w+/=-]{40,}")


class Lost(Throttled):
    """No answer, or one that leaves open whether the call took effect: repeat it with the same token."""


class UnknownProfile(Misconfigured):
    """EC2 does not know the instance profile: it does not exist, or was created a moment ago."""


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) or "an error without a code"


def code_behind(refused: LaunchRefused) -> str:
    """Return the error code of the service behind a refusal; '' if there is none."""
    cause = refused.__cause__
    if isinstance(cause, Unavailable):
        cause = cause.__cause__
    return code_of(cause) if isinstance(cause, ClientError) else ""


def refusal(error: ClientError, where: str) -> LaunchRefused:
    """Convert an error to a typed refusal; where: the zone or region, for the message."""
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    reason = f"aws {where}: {error.operation_name}: {code}"
    if code in _CAPACITY:
        return Capacity(reason)
    if code == "InsufficientFreeAddressesInSubnet":
        return Quota(f"{reason}; subnets: the zone's subnet is full, use a larger one", "zone")
    if code in VCPUS:
        # The caller (`blocks.aws.machines`) knows the type, and adds its class.
        return Quota(f"{reason}; request more spot vCPUs under Service Quotas", "type")
    if code in _REGION:
        return Quota(f"{reason}; {_REGION[code]}", "region", lasting=code in _LASTING)
    if code in _TOO_FAST:
        return Throttled(reason)
    if code in _TRANSIENT:
        return Lost(reason)
    if code.startswith("InvalidInstanceType") or (
        code.startswith("InvalidParameter") and error_text.is_misfit(message)
    ):
        return Unfit(f"{reason}{_short(code, message)}")
    if code in _DENIED and (deny := error_text.explicit_deny(message)):
        which = f" {deny.policy}" if deny.policy else ""
        return Closed(f"{reason}: an explicit deny in a {deny.kind} policy{which}; contact the account's administrator")
    remedy = _MISCONFIGURED.get(code) or next(
        (remedy for prefix, remedy in _PREFIXES.items() if code.startswith(prefix)), None
    )
    if code.startswith("InvalidIamInstanceProfile") or (
        code.startswith("InvalidParameter") and error_text.is_about_profile(message)
    ):
        return UnknownProfile(f"{reason}{_short(code, message)}; {_MAKE_PROFILE}")
    if remedy is not None:
        return Misconfigured(f"{reason}{_short(code, message)}; {remedy}")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Lost(reason) if status >= 500 else Unclear(reason)


@contextmanager
def typed(where: str, doing: str) -> Iterator[None]:
    """Turn the SDK's errors into a `LaunchRefused`; doing: the operation, for the message."""
    try:
        yield
    except ClientError as error:
        raise refusal(error, where) from error
    except (NotConnected, HTTPClientError, ResponseParserError) as error:
        raise Lost(f"aws {where}: {doing}: no answer ({type(error).__name__}); check the network") from error
    except BotoCoreError as error:
        raise Misconfigured(f"aws {where}: {doing}: {type(error).__name__}; {_KEYS}") from error


def _short(code: str, message: str) -> str:
    """Return the cloud's message if the code alone is too vague; possible keys and request ids are removed."""
    if not code.startswith(_SAYS_MORE) or not message:
        return ""
    return f" ({_LONG.sub('…', ' '.join(message.split()))[:160]})"
