"""What Compute Engine's and Secret Manager's refusals mean for a walk along the offers."""

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

# Codes of operations, and reasons of plain answers (Compute Engine docs, Troubleshooting VM creation, Resource
# availability; UNSUPPORTED_OPERATION was seen of machines that were preempted while they were made).
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
# By the block's field that the message is about (blocks.gcp.error_text).
_REMEDIES = {
    "service_account": "service_account: it does not exist, or the launcher may not act as it; grant it "
    "roles/iam.serviceAccountUser on the machines' service account (docs/accounts/gcp.md)",
    "subnetwork": "subnetwork: there is none of that name in the region; correct it",
    "network": "network: there is none of that name in the project; correct it, or name a subnetwork",
    "image": "image: it does not exist, or may not be read; correct 'Image' in the GCP Cloud block",
    "max_hours": "max_hours: the deadline is too near or too far; Compute Engine takes 30 s to 120 days",
    "project": "project: it does not exist, or Compute Engine is not enabled in it; correct it",
}


class OverQuota(Quota):
    """A quota as Google names it: metric and dimensions (Compute Engine API v1, QuotaExceededInfo)."""

    def __init__(
        self, reason: str, reach: Reach, metric: str, dimensions: Mapping[str, str], limit: float | None
    ) -> None:
        super().__init__(reason, reach, metric, limit)
        self.dimensions = dimensions

    def of_type(self, instance_type: str) -> Quota:
        """The same by the name that `blocks.gcp.quotas` has for it, where that type was asked for."""
        return Quota(self.reason, self.reach, quota_named(self.quota, self.dimensions, instance_type), self.left)


@contextmanager
def refusing() -> Iterator[None]:
    """Failures of the SDK leave as refusals; what they quote of the request stays behind."""
    try:
        yield
    except (*FAILURES, MarketUnavailable) as error:
        raise refusal(error) from None


def refusal(error: Exception) -> LaunchRefused:
    """For one of `FAILURES`, or a `Clients` that could not be made."""
    if isinstance(error, RetryError):
        cause = error.cause
        silent = Throttled("gcp: no answer, however often it was asked")
        told = refusal(cause) if isinstance(cause, FAILURES) else silent
        if isinstance(told, Throttled):
            told.repeated = True
        return told
    if isinstance(error, MarketUnavailable):
        return Misconfigured(str(error))
    if isinstance(error, GoogleAPICallError):
        return _of_answer(error)
    if isinstance(error, GoogleAuthError):
        word = type(error).__name__
        if error.retryable:
            return Throttled(f"gcp: the credentials could not be renewed ({word})")
        return Misconfigured(f"gcp: the credentials are refused ({word}); check the GCP Credentials block")
    return Throttled(f"gcp: the endpoint cannot be reached ({type(error).__name__})")


def refusal_in(operation: Any) -> LaunchRefused | None:
    """What a finished operation says of its failure; None if it succeeded. A 200 on the request says nothing yet."""
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
        return Capacity(f"{code}: none free in the zone just now")
    if code in _QUOTA:
        return _over_quota(code, error_text.quota_metric(message), {}, message)
    if code in _ADDRESSES:
        return Quota(f"{code}: the subnetwork has no address left", "region")
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
        return Misconfigured(f"gcp: {code}: the credentials may not do that; {_ROLE}")
    if code in GONE:
        return _missing(code, message)
    if code in _INVALID:
        return _invalid(code, message)
    return Unclear(f"{code}: a refusal that is not known")


def _over_quota(code: str, metric: str, dimensions: Mapping[str, str], message: str) -> OverQuota:
    everywhere = metric in EVERYWHERE or error_text.is_whole_project(message)
    whose = dimensions.get("vm_family") or dimensions.get("gpu_family") or ""
    said = (
        f"{code}: quota {metric or 'of a name not told'}{f' of {whose}' if whose else ''} of the "
        f"{'project' if everywhere else 'region'} is used up; ask for more under 'IAM & Admin, Quotas'"
    )
    limit = error_text.quota_limit(message)
    return OverQuota(said, "cloud" if everywhere else "region" if metric else "pool", metric, dimensions, limit)


def _invalid(code: str, message: str) -> LaunchRefused:
    if error_text.is_type_not_in_zone(message):
        return Capacity(f"{code}: the zone does not have this type")
    if error_text.is_disk_too_small(message):
        return Misconfigured(f"gcp: {code}: disk_gib: smaller than the image; ask for more")
    if error_text.is_misfit(message):
        return Unfit(f"{code}: the type does not go with its disk or image")
    return Misconfigured(f"gcp: {code}: {_field(message)}")


def _missing(code: str, message: str) -> LaunchRefused:
    if error_text.is_type_missing(message):
        return Capacity(f"{code}: the zone does not have this type")
    if error_text.is_zone_missing(message):
        return Capacity(f"{code}: there is no such zone for this project")
    return Misconfigured(f"gcp: {code}: {_field(message)}")


def _field(message: str) -> str:
    return _REMEDIES.get(error_text.field_of(message), "the request is refused; run `spotwave check`")


def _message(error: GoogleAPICallError) -> str:
    """The service's own; the SDK puts method and address before it, where zone and project stand."""
    told = [str(one["message"]) for one in error.errors if isinstance(one, dict) and one.get("message")]
    return told[0] if told else str(error.message).partition(": ")[2]


def _retry_after(error: GoogleAPICallError) -> float:
    """Seconds, as the answer asks; a date in their place is not worth reading."""
    headers = getattr(error.response, "headers", None) or {}
    text = str(headers.get("Retry-After", ""))
    return float(text) if text.isdigit() else _RETRY_S
