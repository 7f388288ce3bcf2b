"""Azure's errors as the reasons of all clouds: facts are the code and the status, never the class of the SDK.

Sources: Azure documentation, "Common error codes for Azure Spot Virtual Machines", "Resolve errors for resource
quotas", "Resolve errors for SKU not available" and "Troubleshoot VM allocation failures". All 409s come as
ResourceExistsError, and what fails after the PUT was accepted comes with status 200.
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
# Of the region, whatever is asked for there (Azure documentation, "Resolve errors for request disallowed by policy" and
# "Resolve errors for location"; the first is Microsoft's own, for new and for student subscriptions).
_CLOSED = {
    "RequestDisallowedByAzure": "Microsoft opens only some regions to this subscription",
    "RequestDisallowedByPolicy": "a policy of the organization forbids it",
    "LocationNotAvailableForResourceType": "the subscription rents no machines there",
    "NoRegisteredProviderFound": "the subscription rents no machines there",
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
    "LinkedAuthorizationFailed": f"{_RIGHTS}, and on the network and the identity if they lie elsewhere",
    "MissingSubscriptionRegistration": "run az provider register -n Microsoft.Compute, and the same for "
    "Microsoft.Network",
    "AzureSpotFeatureNotEnabledForSubscription": "this kind of subscription rents no spot VMs; use a pay-as-you-go one",
    "SubscriptionNotFound": "credentials: check the subscription ID",
    "InvalidSubscriptionId": "credentials: check the subscription ID",
    "ReadOnlyDisabledSubscription": "the subscription is disabled; enable it in the portal",
    "ResourceGroupNotFound": "resource_group: run az group create -n spotwave -l eastus",
    "InvalidResourceReference": "network: the subnet is not there; spotwave check tells more",
    "ImageNotFound": "image: check its name; spotwave check tells more",
    "PlatformImageNotFound": "image: check its name; spotwave check tells more",
    "GalleryImageNotFound": "image: check its name; spotwave check tells more",
    "ImageVersionDeprecated": "image: take a newer one",
    "MarketplacePurchaseEligibilityFailed": "image: it needs a purchase plan; use another",
    "VMMarketplaceInvalidInput": "image: it needs a purchase plan; use another",
    "ResourcePurchaseValidationFailed": "image: it needs a purchase plan; use another",
    "DisallowedProvider": "this kind of subscription rents no VMs; use a pay-as-you-go one",
}


class UnknownIdentity(Misconfigured):
    """Azure does not know the machines' identity: there is none, or it was made a moment ago."""


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Turns the SDK's errors into a `LaunchRefused` of one line: what failed, the code, the remedy."""
    try:
        yield
    except AzureError as error:
        raise refusal(error, what) from error


def status_of(error: AzureError) -> int:
    """The HTTP status; 0 where no answer came."""
    return (error.status_code or 0) if isinstance(error, HttpResponseError) else 0


def code_of(error: AzureError) -> str:
    """The service's own code, e.g. SkuNotAvailable; empty where it gave none."""
    if isinstance(error, HttpResponseError) and error.error is not None:
        return str(error.error.code or "")
    return ""


def refusal(error: AzureError, what: str) -> LaunchRefused:
    if isinstance(error, HttpResponseError) and not isinstance(error, DecodeError):
        status = status_of(error)
        if status == 401 or (isinstance(error, ClientAuthenticationError) and status != 403):
            return Misconfigured(f"{what} failed: no token was given or accepted; {_LOG_IN}")
        return of_code(status, code_of(error), error.message or "", what, _retry_after(error.response))
    if isinstance(error, ServiceRequestError):
        return Throttled(f"{what} failed: Azure cannot be reached; check the network", 10.0, repeated=True)
    return Throttled(f"{what} failed: the answer was lost ({type(error).__name__})", 2.0, repeated=True)


def of_code(status: int, code: str, message: str, what: str, retry_after_s: float = 5.0) -> LaunchRefused:
    """The reason behind a status and a code. Of the message only words that we look for are read: it may quote
    anything of the request."""
    told = f"{what} failed: {' '.join(part for part in (str(status or ''), code) if part)}"
    if status == 429 or status >= 500 or code in _TRANSIENT:
        # The SDK repeats these statuses; what an operation tells, with status 200, and conflicts it does not.
        return Throttled(told, retry_after_s, repeated=status == 429 or status >= 500)
    if code in _CAPACITY:
        return Capacity(told)
    if code in _OF_REGION:
        return Quota(f"{told}: no more {_OF_REGION[code]} in this region", "region")
    if code in _CLOSED:
        return _closed(told, code, message)
    if code == "FailedIdentityOperation":
        return UnknownIdentity(f"{told}; identity: check its resource ID; spotwave check tells more")
    if code in _QUOTA:
        return _over_quota(told, message)
    if code in _UNFIT or (code in _GENERAL and error_text.is_misfit(message)):
        return Unfit(told)
    if code in _REMEDIES:
        action = error_text.forbidden_action(message)
        return Misconfigured(f"{told}{f' ({action})' if action else ''}; {_REMEDIES[code]}")
    if status == 403:
        return Misconfigured(f"{told}; {_RIGHTS}")
    if code in _GENERAL or code.startswith(("InvalidTemplate", "InvalidRequest", "Linked")):
        return Misconfigured(f"{told}; spotwave check tells which setting of the block is wrong")
    return Unclear(told)


def _closed(told: str, code: str, message: str) -> Closed:
    """The policy's name is the organization's own, and all that helps them to find it."""
    policy = error_text.policy_name(message)
    which = f" ('{policy}')" if policy else ""
    # A policy of sizes closes the size, not the region.
    reach: Reach = "type" if error_text.is_policy_of_sizes(policy) else "region"
    return Closed(f"{told}: {_CLOSED[code]}{which}; ask who runs the subscription, or name other regions", reach)


def _over_quota(told: str, message: str) -> LaunchRefused:
    # Spot has one quota in a region, and only that says anything of other sizes; the others are for on-demand.
    match error_text.exceeded_quota(message):
        case "spot":
            return Quota(f"{told}: the quota of spot vCPUs of this region is used up", "region", SPOT_QUOTA)
        case "region":  # a smaller one may still fit; vCPUs are counted alike
            return Quota(f"{told}: the quota of vCPUs of this region is used up", "region", SPOT_QUOTA)
        case "family":
            return Quota(f"{told}: the quota of this family of sizes is used up", "type")
        case None:
            return Unclear(told)


def _retry_after(response: Any) -> float:
    asked_for = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(asked_for), LONGEST_WAIT_S) if asked_for.isdigit() else 5.0
