"""EC2's spot quotas as the service counts them: in vCPUs, one quota per class of types and region.

Source: Amazon EC2 User Guide, "Spot Instance quotas" (the table of quotas and their types), and the codes of Service
Quotas. High memory, HPC and Mac types have none, since they are not sold as spot.
"""

from __future__ import annotations

# Quota's code: (its class, prefixes of the families' names). The first match counts.
_TABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "L-85EED4F7": ("DL", ("dl1", "dl2")),
    "L-6B0D517C": ("Trn", ("trn",)),
    "L-B5D1601B": ("Inf", ("inf",)),
    "L-3819A6DF": ("G and VT", ("g", "vt")),
    "L-7212CCBC": ("P", ("p",)),
    "L-E3A00192": ("X", ("x",)),
    "L-88CF9481": ("F", ("f",)),
    "L-34B43A08": ("Standard", ("a", "c", "d", "h", "i", "m", "r", "t", "z")),
}
CODES = {code: name for code, (name, _) in _TABLE.items()}
PLENTY = 640


def class_of(instance_type: str) -> str:
    """Return the class of a type; '' if it is not sold as spot."""
    if instance_type.startswith(("u-", "u7", "hpc", "mac")):
        return ""
    return next((name for name, beginnings in _TABLE.values() if instance_type.startswith(beginnings)), "")
