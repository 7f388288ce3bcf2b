"""Mapping of Azure's errors to launch refusals, by code and status only, not by the SDK's classes.

Sources: Azure documentation, "Common error codes for Azure Spot Virtual Machines", "Resolve errors for resource
quotas", "Resolve errors for SKU not available" and "Troubleshoot VM allocation failures". All 409s are raised as
ResourceExistsError, and a failure after the PUT was accepted has status 200.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
)

from spotwave.blocks.azure import error_text
from spotwave.blocks.azure.clients import LONGEST_WAIT_S
from spotwave.blocks.azure.quotas import SPOT_QUOTA
from spotwave.blocks.errors import (
    Capacity,
    Closed,
    LaunchRefused,
    Misconfigured,
    Quota,
    Reach,
    Throttled,
    Unclear,
    Unfit,
)

_CAPACITY = {
    "SkuNotAvailable",
    "AllocationFailed",
    "ZonalAllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SpotPriceGreaterThanProvidedMaxPrice",
}
_OF_REGION = {
    "PublicIPCountLimitReached": "public addresses",
    "PublicIPAddressCountLimitReached": "public addresses",
    "SubnetIsFull": "addresses of the subnet",
}
_QUOTA = {"OperationNotAllowed", "QuotaExceeded"}
# For a whole region, whatever the size (Azure documentation, "Resolve errors for request disallowed by policy" and
# "Resolve errors for location"; the first is Microsoft's own, for new and for student subscriptions).
_CLOSED = {
    "RequestDisallowedByAzure": "Microsoft allows only some regions for this subscription",
    "RequestDisallowedByPolicy": "a policy of the organization forbids it",
    "LocationNotAvailableForResourceType": "the subscription cannot rent machines there",
    "NoRegisteredProviderFound": "the subscription cannot rent machines there",
}
_TRANSIENT = {
    "TooManyRequests",
    "InternalExecutionError",
    "InternalServerError",
    "InternalOperationError",
    "NetworkingInternalOperationError",
    "OperationPreempted",
    "RetryableError",
    "RetryableErrorDueToAnotherOperation",
    "AnotherOperationInProgress",
    "Canceled",
}
_UNFIT = {"AzureSpotIsNotSupportedForThisVMSize", "SpotVMNotSupportedForThisVMSize", "VMSizeNotSupported"}
_GENERAL = {"BadRequest", "InvalidParameter", "InvalidParameterValue"}

_LOG_IN = "credentials: check the service principal of the Azure Compute Credentials block; its secret may have expired"
_RIGHTS = "give the launcher the role in deployments/policies/azure-launcher.json on the resource group"
_REMEDIES = {
    "AuthorizationFailed": _RIGHTS,
    "LinkedAuthorizationFailed": f"{_RIGHTS}, and on the network and the identity if they are elsewhere",
    "MissingSubscriptionRegistration": "run az provider register -n Microsoft.Compute, and the same for "
    "Microsoft.Network",
    "AzureSpotFeatureNotEnabledForSubscription": "this kind of subscription has no spot VMs; use a pay-as-you-go one",
    "SubscriptionNotFound": "credentials: check the subscription ID",
    "InvalidSubscriptionId": "credentials: check the subscription ID",
    "ReadOnlyDisabledSubscription": "the subscription is disabled; enable it in the portal",
    "ResourceGroupNotFound": "resource_group: run az group create -n spotwave -l eastus",
    "InvalidResourceReference": "network: the subnet does not exist; run `spotwave check` for details",
    "ImageNotFound": "image: check its name; run `spotwave check` for details",
    "PlatformImageNotFound": "image: check its name; run `spotwave check` for details",
    "GalleryImageNotFound": "image: check its name; run `spotwave check` for details",
    "ImageVersionDeprecated": "image: use a newer one",
    "MarketplacePurchaseEligibilityFailed": "image: it needs a purchase plan; use another",
    "VMMarketplaceInvalidInput": "image: it needs a purchase plan; use another",
    "ResourcePurchaseValidationFailed": "image: it needs a purchase plan; use another",
    "DisallowedProvider": "this kind of subscription has no VMs; use a pay-as-you-go one",
}


class UnknownIdentity(Misconfigured):
    """Azure does not know the machines' identity: it does not exist, or was created a moment ago."""


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Turn the SDK's errors into a `LaunchRefused` of one line: what failed, the code, the remedy."""
    try:
        yield
    except AzureError as error:
        raise refusal(error, what) from error


def status_of(error: AzureError) -> int:
    """Return the HTTP status; 0 if there was no answer."""
    return (error.status_code or 0) if isinstance(error, HttpResponseError) else 0


def code_of(error: AzureError) -> str:
    """Return the service's own code, e.g. SkuNotAvailable; '' if there is none."""
    if isinstance(error, HttpResponseError) and error.error is not None:
        return str(error.error.code or "")
    return ""


def refusal(error: AzureError, what: str) -> LaunchRefused:
    if isinstance(error, HttpResponseError) and not isinstance(error, DecodeError):
        status = status_of(error)
        if status == 401 or (isinstance(error, ClientAuthenticationError) and status != 403):
            return Misconfigured(f"{what} failed: no token was issued or accepted; {_LOG_IN}")
        return of_code(status, code_of(error), error.message or "", what, _retry_after(error.response))
    if isinstance(error, ServiceRequestError):
        return Throttled(f"{what} failed: Azure cannot be reached; check the network", 10.0, repeated=True)
    return Throttled(f"{what} failed: the answer was lost ({type(error).__name__})", 2.0, repeated=True)


def of_code(status: int, code: str, message: str, what: str, retry_after_s: float = 5.0) -> LaunchRefused:
    """Return the refusal for a status and a code. The message is only searched for known words and never quoted, since
    it may contain anything from the request."""
    reason = f"{what} failed: {' '.join(part for part in (str(status or ''), code) if part)}"
    if status == 429 or status >= 500 or code in _TRANSIENT:
        # The SDK retries these statuses, but not conflicts, nor a failed operation, which has status 200.
        return Throttled(reason, retry_after_s, repeated=status == 429 or status >= 500)
    if code in _CAPACITY:
        return Capacity(reason)
    if code in _OF_REGION:
        return Quota(f"{reason}: no more {_OF_REGION[code]} in this region", "region")
    if code in _CLOSED:
        return _closed(reason, code, message)
    if code == "FailedIdentityOperation":
        return UnknownIdentity(f"{reason}; identity: check its resource ID; run `spotwave check` for details")
    if code in _QUOTA:
        return _over_quota(reason, message)
    if code in _UNFIT or (code in _GENERAL and error_text.is_misfit(message)):
        return Unfit(reason)
    if code in _REMEDIES:
        action = error_text.forbidden_action(message)
        return Misconfigured(f"{reason}{f' ({action})' if action else ''}; {_REMEDIES[code]}")
    if status == 403:
        return Misconfigured(f"{reason}; {_RIGHTS}")
    if code in _GENERAL or code.startswith(("InvalidTemplate", "InvalidRequest", "Linked")):
        return Misconfigured(f"{reason}; run `spotwave check` to find the wrong setting of the block")
    return Unclear(reason)


def _closed(reason: str, code: str, message: str) -> Closed:
    """Return the refusal of a policy, with the policy's name, which the organization needs to find it."""
    policy = error_text.policy_name(message)
    which = f" ('{policy}')" if policy else ""
    # A policy about sizes forbids the size, not the region.
    reach: Reach = "type" if error_text.is_policy_of_sizes(policy) else "region"
    remedy = "contact the subscription's administrator, or set other regions"
    return Closed(f"{reason}: {_CLOSED[code]}{which}; {remedy}", reach)


def _over_quota(reason: str, message: str) -> LaunchRefused:
    # Spot has one quota per region, which also applies to other sizes; the other quotas are for on-demand.
    match error_text.exceeded_quota(message):
        case "spot":
            return Quota(f"{reason}: the quota of spot vCPUs of this region is used up", "region", SPOT_QUOTA)
        case "region":  # a smaller size may still fit; vCPUs are counted alike
            return Quota(f"{reason}: the quota of vCPUs of this region is used up", "region", SPOT_QUOTA)
        case "family":
            return Quota(f"{reason}: the quota of this family of sizes is used up", "type")
        case None:
            return Unclear(reason)


def _retry_after(response: Any) -> float:
    asked_for = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(asked_for), LONGEST_WAIT_S) if asked_for.isdigit() else 5.0
