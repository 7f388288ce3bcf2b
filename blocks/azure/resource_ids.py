"""Names and ids of rented resources: a machine's name contains its attempt, the names of its parts the machine's name.

Resource Manager accepts ids in any case and returns them in another (lists have the resource group in upper case), so
they are compared and kept in lower case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from spotwave.blocks.models import LaunchBrief, Offer

_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)/providers/"
    r"(?P<type>[^/]+/[^/]+)/(?P<name>[^/]+)(/.*)?"
)
_PART = re.compile(r"(?P<job_key>[a-z0-9-]+)-\d+(-n\d+)?-[0-9a-f]{8}-(disk|nic|ip)\b")


@dataclass(frozen=True)
class ResourceId:
    subscription: str
    group: str
    type: str  #: e.g. microsoft.compute/virtualmachines
    name: str

    def __str__(self) -> str:
        return f"/subscriptions/{self.subscription}/resourcegroups/{self.group}/providers/{self.type}/{self.name}"


def resource_id(text: str) -> ResourceId:
    """Parse the id of a resource; for a child resource, return its parent's. Raises ValueError for anything else."""
    found = _ID.fullmatch(text.lower())
    if found is None:
        raise ValueError(
            f"'{text}' is not a resource ID; use the form /subscriptions/.../resourceGroups/.../providers/..."
        )
    return ResourceId(found["subscription"], found["group"], found["type"], found["name"])


def vm_name(brief: LaunchBrief, offer: Offer) -> str:
    """Return the VM's name, the same for the same attempt, round and pool, and so the launch's idempotency token.

    It depends on the pool, not on the whole offer, whose price and time change when the market is read again.
    """
    pool = "/".join(offer.pool)
    return f"{brief.brief.name}-{sha256(f'{pool}{brief.round_suffix}'.encode()).hexdigest()[:8]}"


def part(vm: str, kind: str) -> str:
    """Return the name of a machine's disk, nic or ip."""
    return f"{vm}-{kind}"


def is_part(name: str, vm: str) -> bool:
    """Whether a resource is a part of that machine; Azure may append to the given names."""
    return name.lower().startswith(f"{vm}-")


def job_of_part(name: str) -> str | None:
    """Return the job key in the name of a part, for resources that Azure created without tags."""
    found = _PART.match(name.lower())
    return found["job_key"] if found else None


def zone_number(zone: str | None) -> list[str]:
    """Return the VM's `zones` for an offer's zone: ['1'] for 'eastus-1'; [] for a regional offer."""
    return [zone.rpartition("-")[2]] if zone else []
