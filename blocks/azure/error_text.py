"""What Azure says in the text of an error alone: the code is the same for different reasons, and no field has it.

Sources: Azure documentation, "Resolve errors for resource quotas" and "Resolve errors for request disallowed by
policy".
"""

from __future__ import annotations

import re
from typing import Literal

# The message of a policy has a list of JSON in quotes: [{"policyAssignment":{"name":"Allowed locations", ...
_POLICY_NAME = re.compile(r"policyAssignment\W+name\W+([\w][\w .:()/-]{0,80})")
_OF_SIZES = re.compile(r"\b(skus?|sizes?)\b", re.I)
_MISFIT = re.compile(
    r"hyper-?v(isor)? generation|cpu architecture|architecture '|disk ?controller|nvme|vmsize|vm size", re.I
)
_ACTION = re.compile(r"perform(?:s)? action '?([A-Za-z./]+)'?")
# The quotas by their names, in any spelling of cases and spaces.
_SPOT = re.compile(r"lowprioritycores|regionallowpriority|regionalspot")
_REGION = re.compile(r"totalregionalcores|regionalvcpus")
_FAMILY = re.compile(r"familycores|familyvcpus")


def policy_name(message: str) -> str:
    """Of the policy that forbids it; '' if it names none."""
    return found[1].strip() if (found := _POLICY_NAME.search(message)) else ""


def is_policy_of_sizes(name: str) -> bool:
    """Whether a policy of this name closes sizes, not the region."""
    return _OF_SIZES.search(name) is not None


def is_misfit(message: str) -> bool:
    """Of a size and an image that do not go together; the code is BadRequest or InvalidParameter, as for much else."""
    return _MISFIT.search(message) is not None


def forbidden_action(message: str) -> str:
    """The right that is missing, e.g. Microsoft.Compute/virtualMachines/write; '' if it names none."""
    return found[1] if (found := _ACTION.search(message)) else ""


def exceeded_quota(message: str) -> Literal["spot", "region", "family"] | None:
    """Which of a region's quotas of vCPUs is used up."""
    names = message.lower().replace(" ", "")
    if _SPOT.search(names):
        return "spot"
    if _REGION.search(names):
        return "region"
    return "family" if _FAMILY.search(names) else None
