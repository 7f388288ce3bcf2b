"""Parser for names of sizes: Standard_<series><number>[-<constrained>]<features>[_<accelerator>][_v<version>].

Source: Azure documentation, "Azure virtual machine sizes naming conventions".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NAME = re.compile(
    r"(?P<tier>Standard|Basic)_(?P<series>[A-Z]+)(?P<number>\d+)(?:-(?P<constrained>\d+))?"
    r"(?P<features>[a-z]*)(?P<rest>(?:_\w+)?)"
)
_VERSION = re.compile(r"_v(\d+)")


@dataclass(frozen=True)
class Name:
    tier: str
    series: str  #: e.g. D, E, NC
    number: int  #: vCPUs of the full machine, except in series before v3
    constrained: int | None  #: enabled vCPUs: E8-4ds_v5 has 4, and the memory of 8
    features: str  #: e.g. ads: AMD, local disk, premium storage
    rest: str  #: e.g. _v5, _A100_v4

    @property
    def version(self) -> int:
        """Version number; 1 if the name has none."""
        found = _VERSION.search(self.rest)
        return int(found[1]) if found else 1


@lru_cache(maxsize=4096)
def parsed(size: str) -> Name | None:
    """Parse a name such as Standard_E8-4ds_v5; None if it has another format."""
    found = _NAME.fullmatch(size)
    if found is None:
        return None
    constrained = int(found["constrained"]) if found["constrained"] else None
    return Name(found["tier"], found["series"], int(found["number"]), constrained, found["features"], found["rest"])


@lru_cache(maxsize=4096)
def family(size: str) -> str:
    """Return the name without its numbers: Standard_E8-4ds_v5 -> Edsv5, Standard_NC24ads_A100_v4 -> NCads_A100_v4."""
    name = parsed(size)
    if name is None:
        return size
    rest = name.rest[1:] if _VERSION.fullmatch(name.rest) else name.rest
    tier = "" if name.tier == "Standard" else f"{name.tier}_"
    return f"{tier}{name.series}{name.features}{rest}"


@lru_cache(maxsize=4096)
def is_burstable(size: str) -> bool:
    """Whether the size uses CPU credits, which applies to all of series B."""
    name = parsed(size)
    return name is not None and name.series == "B"
