"""Facts that AWS reports only in the text of an error: the code is the same for different errors, and no field helps.

Source of the denials: IAM User Guide, "Troubleshoot access denied error messages".
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MISFIT = re.compile(
    r"architecture|virtualization type|boot mode|Elastic Network Adapter|instance ?type", re.IGNORECASE
)
_PROFILE = re.compile(r"instance profile", re.IGNORECASE)
_DENY = re.compile(
    r"explicit deny in an? (?P<kind>service control|resource control|identity-based|permissions boundary|session)"
    r"(?: policy)?(?:: arn:[\w-]+:[\w-]+::[\w-]*:policy/(?P<id>[\w/+=,@-]{1,128}))?"
)


class Deny(NamedTuple):
    """A policy that forbids the call."""

    kind: str  #: "service control", "identity-based", ...
    policy: str  #: its id; '' in messages from before 2026, which do not contain it


def is_misfit(message: str) -> bool:
    """Whether an InvalidParameter is about the type and the image, not about Spotwave's settings."""
    return _MISFIT.search(message) is not None


def is_about_profile(message: str) -> bool:
    """Whether an InvalidParameter is about the instance profile."""
    return _PROFILE.search(message) is not None


def explicit_deny(message: str) -> Deny | None:
    """Return the policy that caused an UnauthorizedOperation or AccessDenied, None if none is named."""
    found = _DENY.search(message)
    return Deny(found["kind"], found["id"] or "") if found else None
