"""What the name of a size tells: Standard_<series><number>[-<constrained>]<features>[_<accelerator>][_v<version>].

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

# By a part of the name, and where there is none (older sizes) by series, features and version.
_ACCELERATORS = {
    "_T4_": "T4",
    "_A10_": "A10",
    "_H100_": "H100",
    "_H200_": "H200",
    "_GB200_": "GB200",
    "_MI300X_": "MI300X",
    "_V620_": "V620",
    "_V710_": "V710",
    "_RTXPRO6000BSE_": "RTX PRO 6000",
}
_OLDER = [
    (re.compile(r"NC\d+r?s_v3"), "V100"),
    (re.compile(r"ND\d+rs_v2"), "V100 32GB"),
    (re.compile(r"NC\d+r?s_v2"), "P100"),
    (re.compile(r"NC\d+r?(_Promo)?"), "K80"),
    (re.compile(r"ND\d+r?s"), "P40"),
    (re.compile(r"NV\d+s_v[23]"), "M60"),
    (re.compile(r"NV\d+(_Promo)?"), "M60"),
    (re.compile(r"NV\d+as_v4"), "MI25"),
    (re.compile(r"ND\d+asr_v4"), "A100 40GB"),
]
# GPUs that are sold in parts: the vCPUs of the size that has a whole one.
_WHOLE = [
    (re.compile(r"NV\d+ad(m)?s_A10_v5"), 36),
    (re.compile(r"NG\d+ad(m)?s_V620_v1"), 32),
    (re.compile(r"NV\d+as_v4"), 32),
]


@dataclass(frozen=True)
class Name:
    tier: str
    series: str  #: e.g. D, E, NC
    number: int  #: vCPUs of the whole machine, but not in series of before v3
    constrained: int | None  #: vCPUs left of them: E8-4ds_v5 has 4, and the memory of 8
    features: str  #: e.g. ads: AMD, local disk, premium storage
    rest: str  #: e.g. _v5, _A100_v4

    @property
    def version(self) -> int:
        """1 where the name has none."""
        found = _VERSION.search(self.rest)
        return int(found[1]) if found else 1


@lru_cache(maxsize=4096)
def parsed(size: str) -> Name | None:
    """The parts of a name as Standard_E8-4ds_v5; None if it is not built like that."""
    found = _NAME.fullmatch(size)
    if found is None:
        return None
    constrained = int(found["constrained"]) if found["constrained"] else None
    return Name(found["tier"], found["series"], int(found["number"]), constrained, found["features"], found["rest"])


@lru_cache(maxsize=4096)
def family(size: str) -> str:
    """The name without its numbers: Standard_E8-4ds_v5 -> Edsv5, Standard_NC24ads_A100_v4 -> NCads_A100_v4."""
    name = parsed(size)
    if name is None:
        return size
    rest = name.rest[1:] if _VERSION.fullmatch(name.rest) else name.rest
    tier = "" if name.tier == "Standard" else f"{name.tier}_"
    return f"{tier}{name.series}{name.features}{rest}"


@lru_cache(maxsize=4096)
def is_burstable(size: str) -> bool:
    """Whether the size lives on CPU credits: all of series B do."""
    name = parsed(size)
    return name is not None and name.series == "B"


@lru_cache(maxsize=4096)
def gpu_model(size: str) -> str:
    """The GPU that a size of the N series has, e.g. "A100 80GB"; "GPU" where the name does not tell."""
    if "_A100_" in size:
        return "A100 80GB"
    for part, model in _ACCELERATORS.items():
        if part in size:
            return model
    bare = size.removeprefix("Standard_")
    return next((model for pattern, model in _OLDER if pattern.fullmatch(bare)), "GPU")


@lru_cache(maxsize=4096)
def gpu_share(size: str, vcpus: int) -> float | None:
    """GPUs of a size that may have a part of one (Resource SKUs say 1 then); None for all others."""
    bare = size.removeprefix("Standard_")
    return next((vcpus / whole for pattern, whole in _WHOLE if pattern.fullmatch(bare)), None)
