"""Facts that Azure reports only in the text of an error: the code is the same for different causes, and no field helps.

Sources: Azure documentation, "Resolve errors for resource quotas" and "Resolve errors for request disallowed by
policy".
"""

from __future__ import annotations

import re
from typing import Literal

# A policy's message contains a list of JSON in quotes: [{"policyAssignment":{"name":"Allowed locations", ...
_POLICY_NAME = re.compile(r"policyAssignment\W+name\W+([\w][\w .:()/-]{0,80})")
_OF_SIZES = re.compile(r"\b(skus?|sizes?)\b", re.I)
_MISFIT = re.compile(
    r"hyper-?v(isor)? generation|cpu architecture|architecture '|disk ?controller|nvme|vmsize|vm size", re.I
)
_ACTION = re.compile(r"perform(?:s)? action '?([A-Za-z./]+)'?")
# The quotas by name, with any spelling of cases and spaces.
_SPOT = re.compile(r"lowprioritycores|regionallowpriority|regionalspot")
_REGION = re.compile(r"totalregionalcores|regionalvcpus")
_FAMILY = re.compile(r"familycores|familyvcpus")


def policy_name(message: str) -> str:
    """Return the name of the policy that forbids the call; '' if the message has none."""
    return found[1].strip() if (found := _POLICY_NAME.search(message)) else ""


def is_policy_of_sizes(name: str) -> bool:
    """Whether a policy of this name forbids sizes rather than the region."""
    return _OF_SIZES.search(name) is not None


def is_misfit(message: str) -> bool:
    """Whether size and image are incompatible; the code is BadRequest or InvalidParameter, as for many other errors."""
    return _MISFIT.search(message) is not None


def forbidden_action(message: str) -> str:
    """Return the missing permission, e.g. Microsoft.Compute/virtualMachines/write; '' if the message has none."""
    return found[1] if (found := _ACTION.search(message)) else ""


def exceeded_quota(message: str) -> Literal["spot", "region", "family"] | None:
    """Return which vCPU quota of a region is exhausted."""
    names = message.lower().replace(" ", "")
    if _SPOT.search(names):
        return "spot"
    if _REGION.search(names):
        return "region"
    return "family" if _FAMILY.search(names) else None
