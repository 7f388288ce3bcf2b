"""Mapping of errors of Compute Engine and Secret Manager to launch refusals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError

from spotwave.blocks.errors import (
    Capacity,
    Closed,
    LaunchRefused,
    MarketUnavailable,
    Misconfigured,
    Quota,
    Reach,
    Throttled,
    Unclear,
    Unfit,
)
from spotwave.blocks.gcp import error_text
from spotwave.blocks.gcp.clients import FAILURES, OUT_OF_STOCK, is_lost, is_throttled, reasons
from spotwave.blocks.gcp.quotas import EVERYWHERE, quota_named

EXISTS = {"RESOURCE_ALREADY_EXISTS", "alreadyExists"}
GONE = {"RESOURCE_NOT_FOUND", "notFound"}

# Codes of operations, and reasons in direct answers (Compute Engine docs, Troubleshooting VM creation, Resource
# availability; UNSUPPORTED_OPERATION was observed for machines preempted during their creation).
_CAPACITY = {*OUT_OF_STOCK, "UNSUPPORTED_OPERATION"}
_QUOTA = {"QUOTA_EXCEEDED", "quotaExceeded", "limitExceeded"}
_ADDRESSES = {"IP_SPACE_EXHAUSTED", "IP_SPACE_EXHAUSTED_WITH_DETAILS"}
_TOO_FAST = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"}
_POLICY = {"CONDITION_NOT_MET", "conditionNotMet"}
_FORBIDDEN = {"PERMISSIONS_ERROR", "PERMISSION_DENIED", "forbidden", "insufficientPermissions", "accessNotConfigured"}
_INVALID = {
    "invalid",
    "badRequest",
    "invalidParameter",
    "required",
    "INVALID_FIELD_VALUE",
    "INVALID_USAGE",
    "BAD_REQUEST",
}

_RETRY_S = 5.0

_ROLE = "give the launcher its role (docs/accounts/gcp.md)"
# By the block's field that the message refers to (blocks.gcp.error_text).
_REMEDIES = {
    "service_account": "service_account: it does not exist, or the launcher may not act as it; grant it "
    "roles/iam.serviceAccountUser on the machines' service account (docs/accounts/gcp.md)",
    "subnetwork": "subnetwork: it does not exist in the region; correct it",
    "network": "network: it does not exist in the project; correct it, or set a subnetwork",
    "image": "image: it does not exist, or may not be read; correct 'Image' in the GCP Cloud block",
    "max_hours": "max_hours: the deadline is too near or too far; Compute Engine accepts 30 s to 120 days",
    "project": "project: it does not exist, or Compute Engine is not enabled in it; correct it",
}


class OverQuota(Quota):
    """A quota as Google describes it: metric and dimensions (Compute Engine API v1, QuotaExceededInfo)."""

    def __init__(
        self, reason: str, reach: Reach, metric: str, dimensions: Mapping[str, str], limit: float | None
    ) -> None:
        super().__init__(reason, reach, metric, limit)
        self.dimensions = dimensions

    def of_type(self, instance_type: str) -> Quota:
        """Return the refusal with the quota's name in `blocks.gcp.quotas`, for a launch of that type."""
        return Quota(self.reason, self.reach, quota_named(self.quota, self.dimensions, instance_type), self.left)


@contextmanager
def refusing() -> Iterator[None]:
    """Convert failures of the SDK to refusals, and drop the original error, which quotes the request."""
    try:
        yield
    except (*FAILURES, MarketUnavailable) as error:
        raise refusal(error) from None


def refusal(error: Exception) -> LaunchRefused:
    """Convert one of `FAILURES`, or a failure to create `Clients`."""
    if isinstance(error, RetryError):
        cause = error.cause
        no_answer = Throttled("gcp: no answer, also after retries")
        refused = refusal(cause) if isinstance(cause, FAILURES) else no_answer
        if isinstance(refused, Throttled):
            refused.repeated = True
        return refused
    if isinstance(error, MarketUnavailable):
        return Misconfigured(str(error))
    if isinstance(error, GoogleAPICallError):
        return _of_answer(error)
    if isinstance(error, GoogleAuthError):
        kind = type(error).__name__
        if error.retryable:
            return Throttled(f"gcp: the credentials could not be renewed ({kind})")
        return Misconfigured(f"gcp: the credentials are refused ({kind}); check the GCP Credentials block")
    return Throttled(f"gcp: the endpoint cannot be reached ({type(error).__name__})")


def refusal_in(operation: Any) -> LaunchRefused | None:
    """Return the failure of a finished operation; None if it succeeded. An accepted request (200) may still fail."""
    for error in operation.error.errors:
        quotas = [detail.quota_info for detail in error.error_details if detail.quota_info.metric_name]
        if error.code in _QUOTA and quotas:
            # The metric is e.g. compute.googleapis.com/cpus_per_vm_family.
            metric = quotas[0].metric_name.rpartition("/")[2].upper()
            return _over_quota(error.code, metric, dict(quotas[0].dimensions), error.message)
        return _judged(error.code, error.message)
    if operation.http_error_status_code >= 400:
        return _judged(f"HTTP {operation.http_error_status_code}", operation.http_error_message)
    return None


def codes_in(operation: Any) -> set[str]:
    return {error.code for error in operation.error.errors}


def _of_answer(error: GoogleAPICallError) -> LaunchRefused:
    status = int(error.code or 0)
    reason = (reasons(error) or [""])[0]
    message = _message(error)
    if is_throttled(error):
        return Throttled(f"Google answered {status} {reason}".strip(), _retry_after(error))
    if is_lost(error):
        return Throttled(f"Google answered {status}", _retry_after(error))
    if status == 401:
        return Misconfigured("gcp: the credentials are refused (401); check the key in the GCP Credentials block")
    if status == 404:
        return _missing("404 notFound", message)
    if status == 412:
        return _judged("conditionNotMet", message)
    if status == 403 and reason not in _QUOTA:
        return _judged("accessNotConfigured" if error_text.is_api_disabled(message) else "forbidden", message)
    if status == 400 and reason not in _QUOTA | _CAPACITY:
        return _judged("invalid", message)
    return _judged(reason or f"HTTP {status}", message)


def _judged(code: str, message: str) -> LaunchRefused:
    if code in _CAPACITY:
        return Capacity(f"{code}: no capacity in the zone at the moment")
    if code in _QUOTA:
        return _over_quota(code, error_text.quota_metric(message), {}, message)
    if code in _ADDRESSES:
        return Quota(f"{code}: the subnetwork has no free address", "region")
    if code in _TOO_FAST:
        return Throttled(code, _RETRY_S)
    if code in _POLICY and error_text.is_location_policy(message):
        return Closed(f"{code}: constraints/gcp.resourceLocations of the organization forbids this location")
    if code in _POLICY:
        return Misconfigured(
            f"gcp: {code}: a policy of the organization forbids it; if it is the external address, turn 'Public IP' "
            "off in the GCP Cloud block, and set up Cloud NAT"
        )
    if code in _FORBIDDEN:
        if (field := error_text.field_of(message)) == "service_account":
            return Misconfigured(f"gcp: {code}: {_REMEDIES[field]}")
        if code == "accessNotConfigured":
            return Misconfigured("gcp: an API is not enabled; run: gcloud services enable compute.googleapis.com "
                                 "secretmanager.googleapis.com")  # fmt: skip
        return Misconfigured(f"gcp: {code}: the credentials lack the permission; {_ROLE}")
    if code in GONE:
        return _missing(code, message)
    if code in _INVALID:
        return _invalid(code, message)
    return Unclear(f"{code}: an unknown error code")


def _over_quota(code: str, metric: str, dimensions: Mapping[str, str], message: str) -> OverQuota:
    everywhere = metric in EVERYWHERE or error_text.is_whole_project(message)
    whose = dimensions.get("vm_family") or dimensions.get("gpu_family") or ""
    reason = (
        f"{code}: quota {metric or 'of unknown name'}{f' of {whose}' if whose else ''} of the "
        f"{'project' if everywhere else 'region'} is used up; request more under 'IAM & Admin, Quotas'"
    )
    limit = error_text.quota_limit(message)
    return OverQuota(reason, "cloud" if everywhere else "region" if metric else "pool", metric, dimensions, limit)


def _invalid(code: str, message: str) -> LaunchRefused:
    if error_text.is_type_not_in_zone(message):
        return Capacity(f"{code}: the zone does not have this type")
    if error_text.is_disk_too_small(message):
        return Misconfigured(f"gcp: {code}: disk_gib: smaller than the image; increase it")
    if error_text.is_misfit(message):
        return Unfit(f"{code}: the type is incompatible with its disk or image")
    return Misconfigured(f"gcp: {code}: {_field(message)}")


def _missing(code: str, message: str) -> LaunchRefused:
    if error_text.is_type_missing(message):
        return Capacity(f"{code}: the zone does not have this type")
    if error_text.is_zone_missing(message):
        return Capacity(f"{code}: the zone does not exist for this project")
    return Misconfigured(f"gcp: {code}: {_field(message)}")


def _field(message: str) -> str:
    return _REMEDIES.get(error_text.field_of(message), "the request is refused; run `spotwave check`")


def _message(error: GoogleAPICallError) -> str:
    """Return the service's message. The SDK's own begins with method and address, which contain zone and project."""
    messages = [str(one["message"]) for one in error.errors if isinstance(one, dict) and one.get("message")]
    return messages[0] if messages else str(error.message).partition(": ")[2]


def _retry_after(error: GoogleAPICallError) -> float:
    """Return the Retry-After of the answer in seconds, or the default; dates are not supported."""
    headers = getattr(error.response, "headers", None) or {}
    text = str(headers.get("Retry-After", ""))
    return float(text) if text.isdigit() else _RETRY_S
