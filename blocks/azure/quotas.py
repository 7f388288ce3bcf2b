"""Quota of Azure that a spot VM counts against: one per region, for all families together.

Sources: Azure documentation, "Azure Spot quota" (spot has its own quota in a region, separate from those of the
families, which are for on-demand); for constrained sizes, which count with the vCPUs of the full size,
MicrosoftDocs/azure-docs#23017.
"""

from __future__ import annotations

import re

from spotwave.blocks.models import Offer

SPOT_QUOTA = "lowPriorityCores"
# Standard_E8-4ds_v5 has 4 of its 8 vCPUs enabled. Older names use other numbers.
_CONSTRAINED = re.compile(r"Standard_([A-Z]+\d+)-\d+", re.IGNORECASE)
_OLDER = {"DS11": 2, "DS12": 4, "DS13": 8, "DS14": 16, "GS4": 16, "GS5": 32}


def quotas_of(offer: Offer) -> dict[str, float]:
    """Return the vCPUs that an offer uses, by the quota's name in a region's usages."""
    return {SPOT_QUOTA: float(max(offer.vcpus, _whole(offer.instance_type)))}


def _whole(size: str) -> int:
    """Return the vCPUs of the full size behind a constrained one; 0 for other sizes."""
    found = _CONSTRAINED.match(size)
    if found is None:
        return 0
    name = found[1].upper()
    return _OLDER.get(name) or int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
