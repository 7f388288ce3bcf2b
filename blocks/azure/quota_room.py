"""Remaining quota of spot vCPUs in a region (Azure Compute REST API, Usage - List)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from spotwave.blocks.azure.clients import Clients
from spotwave.blocks.azure.quotas import SPOT_QUOTA
from spotwave.blocks.azure.refusals import asked
from spotwave.blocks.concurrent import Unavailable, gather
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Offer
from spotwave.blocks.quota_room import QuotaRoom

_AT_ONCE = 8


def quota_room(clients: Clients, offers: Sequence[Offer]) -> list[QuotaRoom]:
    """Return the quotas of the regions of these offers, one concurrent call each; failed calls are left out."""
    regions = dict.fromkeys(offer.region for offer in offers)
    return list(gather({region: partial(_asked, clients, region) for region in regions}, _AT_ONCE)[0].values())


def _asked(clients: Clients, region: str) -> QuotaRoom:
    try:
        with asked("reading the quota"):
            for row in clients.compute.usage.list(region):
                if row.name is not None and row.name.value == SPOT_QUOTA:
                    limit = float(row.limit)
                    left = limit - float(row.current_value)
                    return QuotaRoom(
                        cloud="azure", region=region, name=SPOT_QUOTA, title=SPOT_QUOTA, limit=limit, left=left
                    )
    except (LaunchRefused, TypeError, ValueError) as error:
        raise Unavailable(f"{region}: {type(error).__name__}") from error
    raise Unavailable(f"{region}: it reports no quota of spot vCPUs")
