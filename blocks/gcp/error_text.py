"""Facts that Google reports only in the text of an error: its codes are too coarse, and no field holds them.

Sources: Compute Engine docs, "Troubleshooting VM creation" and "Resource availability"; Resource Manager docs,
"Restricting resource locations".
"""

from __future__ import annotations

import re

_METRIC = re.compile(r"Quota '([\w-]+)'")
_LIMIT = re.compile(r"Limit: (\d+(?:\.\d+)?)\b")
_WHOLE_PROJECT = re.compile(r"all[_-]regions|globally", re.IGNORECASE)
_LOCATION = re.compile(r"constraints/gcp\.resourceLocations", re.IGNORECASE)
_TYPE_NOT_IN_ZONE = re.compile(r"machine type with name .{1,80} does not exist in zone", re.IGNORECASE)
_TYPE_MISSING = re.compile(r"/machineTypes/|machine type|/diskTypes/", re.IGNORECASE)
_IN_A_ZONE = re.compile(r"/(networks|subnetworks|images)/|serviceaccount", re.IGNORECASE)
_MISFIT = re.compile(
    r"features are not compatible|disk ?type|machine ?type|architecture|pd-\w+|hyperdisk|accelerator|does not support",
    re.IGNORECASE,
)
_DISK_TOO_SMALL = re.compile(r"disk size.*(smaller|less) than", re.IGNORECASE)
_API_DISABLED = re.compile(r"has not been used|is disabled")
# The block's field that a message about a missing or refused resource refers to; the first match counts.
_FIELDS = [
    ("service_account", re.compile(r"serviceaccount", re.IGNORECASE)),
    ("subnetwork", re.compile(r"/subnetworks/|subnetwork", re.IGNORECASE)),
    ("network", re.compile(r"/networks/|network", re.IGNORECASE)),
    ("image", re.compile(r"/images/|image", re.IGNORECASE)),
    ("max_hours", re.compile(r"deadline|terminationtime|termination_time|maxrunduration", re.IGNORECASE)),
    ("project", re.compile(r"/projects/|project", re.IGNORECASE)),
]


def quota_metric(message: str) -> str:
    """Return the name of the exhausted quota; '' if the message does not contain it."""
    return found[1] if (found := _METRIC.search(message)) else ""


def quota_limit(message: str) -> float | None:
    return float(found[1]) if (found := _LIMIT.search(message)) else None


def is_whole_project(message: str) -> bool:
    """Whether the quota applies to all regions together."""
    return _WHOLE_PROJECT.search(message) is not None


def is_location_policy(message: str) -> bool:
    """Whether a 412 is caused by the location policy; other policies of the organization have the same status."""
    return _LOCATION.search(message) is not None


def is_type_not_in_zone(message: str) -> bool:
    """Whether a 400 means that the zone does not have the type; the list of types may be out of date."""
    return _TYPE_NOT_IN_ZONE.search(message) is not None


def is_type_missing(message: str) -> bool:
    """Whether a 404 is about the machine type or the disk type."""
    return _TYPE_MISSING.search(message) is not None


def is_zone_missing(message: str) -> bool:
    """Whether a 404 is about the zone itself."""
    return "/zones/" in message and _IN_A_ZONE.search(message) is None


def is_misfit(message: str) -> bool:
    """Whether a 400 means that the type does not fit its disk or its image."""
    return _MISFIT.search(message) is not None


def is_disk_too_small(message: str) -> bool:
    return _DISK_TOO_SMALL.search(message) is not None


def is_api_disabled(message: str) -> bool:
    """Whether a 403 of Secret Manager, which has no field for the reason, means that the API is disabled."""
    return _API_DISABLED.search(message) is not None


def field_of(message: str) -> str:
    """Return the block's field that the message refers to; '' if there is none."""
    return next((field for field, pattern in _FIELDS if pattern.search(message)), "")
