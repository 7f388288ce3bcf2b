"""What AWS says in the text of an error alone: the code is the same for different mistakes, and no field has it.

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
    policy: str  #: its id; '' before 2026, when messages began to name it


def is_misfit(message: str) -> bool:
    """InvalidParameter about the type and the image, not about our settings."""
    return _MISFIT.search(message) is not None


def is_about_profile(message: str) -> bool:
    """InvalidParameter about the instance profile."""
    return _PROFILE.search(message) is not None


def explicit_deny(message: str) -> Deny | None:
    """UnauthorizedOperation or AccessDenied by a policy of the organization, or of whoever gave the rights."""
    found = _DENY.search(message)
    return Deny(found["kind"], found["id"] or "") if found else None
