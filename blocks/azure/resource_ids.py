"""Names and ids of what the wing rents: a machine's name tells its attempt, and the names of its parts the machine.

Resource Manager takes ids in any case and gives them in another (lists shout the resource group), so they are
compared, and kept, in lower case.
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
    """Of the resource, or of the one that it belongs to. Raises ValueError for what is no id."""
    found = _ID.fullmatch(text.lower())
    if found is None:
        raise ValueError(
            f"'{text}' is no resource ID; it looks like /subscriptions/.../resourceGroups/.../providers/..."
        )
    return ResourceId(found["subscription"], found["group"], found["type"], found["name"])


def vm_name(brief: LaunchBrief, offer: Offer) -> str:
    """The same for the same attempt, round and pool, and so the launch's idempotency token.

    By the pool and not the whole offer: its price and the time it was seen differ when the market was read again.
    """
    pool = "/".join(offer.pool)
    return f"{brief.brief.name}-{sha256(f'{pool}{brief.anew}'.encode()).hexdigest()[:8]}"


def part(vm: str, kind: str) -> str:
    """The name of a machine's disk, nic or ip."""
    return f"{vm}-{kind}"


def is_part(name: str, vm: str) -> bool:
    """Whether a resource is a part of that machine; Azure may add to the names that it was given."""
    return name.lower().startswith(f"{vm}-")


def job_of_part(name: str) -> str | None:
    """The job key in the name of a part, for resources that Azure made without our tags."""
    found = _PART.match(name.lower())
    return found["job_key"] if found else None


def zone_number(zone: str | None) -> list[str]:
    """The zones of a VM in an offer's zone 'eastus-1': ['1']; of a regional offer none."""
    return [zone.rpartition("-")[2]] if zone else []
