"""Spot quotas of EC2: one per class of instance types, in vCPUs, by region.

Source: Amazon EC2 User Guide, Spot Instance quotas; the codes are those of Service Quotas, service `ec2`.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class SpotQuota(NamedTuple):
    """One quota of a region."""

    name: str  #: class name, as in the console
    code: str  #: code in Service Quotas


STANDARD = SpotQuota("Standard", "L-34B43A08")
SPOT_QUOTAS: dict[str, SpotQuota] = {
    quota.name: quota
    for quota in (
        STANDARD,
        SpotQuota("G and VT", "L-3819A6DF"),
        SpotQuota("P", "L-7212CCBC"),
        SpotQuota("X", "L-E3A00192"),
        SpotQuota("F", "L-88CF9481"),
        SpotQuota("Inf", "L-B5D1601B"),
        SpotQuota("Trn", "L-6B0D517C"),
        SpotQuota("DL", "L-85EED4F7"),
    )
}
_LETTERS = re.compile(r"[a-z]+")
# By all leading letters of a name (dl1 is not D, inf2 not I, trn1 not T); others go by their first letter.
_OF_LETTERS = {"dl": "DL", "vt": "G and VT", "trn": "Trn", "inf": "Inf", "g": "G and VT", "gr": "G and VT"}
_OF_FIRST = {"g": "G and VT", "p": "P", "x": "X", "f": "F"} | dict.fromkeys("acdhimrtz", "Standard")
# These have no spot, and their own quota on demand: high memory, HPC, Mac.
_WITHOUT_SPOT = {"u", "hpc", "mac"}


def spot_class(instance_type: str) -> str:
    """Return the class that a type's vCPUs count against, e.g. 'Standard' for 'c7i.large'; '' if unknown."""
    found = _LETTERS.match(instance_type)
    letters = found[0] if found else ""
    if letters in _WITHOUT_SPOT or not letters:
        return ""
    return _OF_LETTERS.get(letters) or _OF_FIRST.get(letters[0], "")
