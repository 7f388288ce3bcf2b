"""EC2's spot quotas as the service counts them: vCPUs, one quota for each class of types, in each region.

Source: Amazon EC2 User Guide, "Spot Instance quotas" (the table of quotas, and which types each is of), and Service
Quotas' codes. High memory, HPC and Mac types have none: they are not sold as spot.
"""

from __future__ import annotations

# Quota's code: (its class, the beginnings of the families' names). The first that fits counts.
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
    """'' for what is not sold as spot."""
    if instance_type.startswith(("u-", "u7", "hpc", "mac")):
        return ""
    return next((name for name, beginnings in _TABLE.values() if instance_type.startswith(beginnings)), "")
