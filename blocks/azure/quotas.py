"""Against which of Azure's quotas a spot VM counts: one of the region, for all families together.

Sources: Azure documentation, "Azure Spot quota" (spot has a quota of its own in a region, apart from those of the
families, which are for on-demand); for constrained sizes, which count as the whole ones that they are cut from,
MicrosoftDocs/azure-docs#23017.
"""

from __future__ import annotations

import re

from spotwave.blocks.models import Offer

SPOT_QUOTA = "lowPriorityCores"
# Standard_E8-4ds_v5 shows 4 of its 8 vCPUs. The older names have numbers of their own.
_CONSTRAINED = re.compile(r"Standard_([A-Z]+\d+)-\d+", re.IGNORECASE)
_OLDER = {"DS11": 2, "DS12": 4, "DS13": 8, "DS14": 16, "GS4": 16, "GS5": 32}


def quotas_of(offer: Offer) -> dict[str, float]:
    """The vCPUs that it takes, by the name that the usages of a region have for the quota."""
    return {SPOT_QUOTA: float(max(offer.vcpus, _whole(offer.instance_type)))}


def _whole(size: str) -> int:
    """vCPUs of the size that a constrained one is cut from; 0 of another."""
    found = _CONSTRAINED.match(size)
    if found is None:
        return 0
    name = found[1].upper()
    return _OLDER.get(name) or int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
