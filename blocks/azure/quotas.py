"""Against which of Azure's quotas a spot VM counts: one of the region, for all families together.

Sources: Azure documentation, "Azure Spot quota" (spot has a quota of its own in a region, apart from those of the
families, which are for on-demand) and "Constrained vCPUs capable VM sizes".
"""

from __future__ import annotations

import re

from blocks.cloud import Offer

SPOT_QUOTA = "lowPriorityCores"
# Standard_E8-4ds_v5 shows 4 of its 8 vCPUs, and is sold, and counted, as the whole.
_CONSTRAINED = re.compile(r"Standard_[A-Z]+(\d+)-\d+", re.IGNORECASE)


def quotas_of(offer: Offer) -> dict[str, float]:
    whole = _CONSTRAINED.match(offer.instance_type)
    return {SPOT_QUOTA: float(max(offer.vcpus, int(whole[1]) if whole else 0))}
