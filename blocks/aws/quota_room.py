"""Spot vCPU limits by region and class from Service Quotas, which reports the limit but not the usage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from spotwave.blocks.aws.clients import AT_MOST, Clients
from spotwave.blocks.aws.quotas import SPOT_QUOTAS, spot_class
from spotwave.blocks.concurrent import Unavailable, gather
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import Offer
from spotwave.blocks.quota_room import QuotaRoom


def quota_room(clients: Clients, offers: Sequence[Offer]) -> list[QuotaRoom]:
    """Return the quotas for the regions and classes of these offers, one call each; failed calls are left out."""
    wanted = dict.fromkeys((offer.region, spot_class(offer.instance_type)) for offer in offers)
    asked = {f"{region} {name}": partial(_asked, clients, region, name) for region, name in wanted if name}
    return list(gather(asked, AT_MOST)[0].values())


def _asked(clients: Clients, region: str, name: str) -> QuotaRoom:
    code = SPOT_QUOTAS[name].code
    try:
        answer = clients.call("service-quotas", region, "get_service_quota", ServiceCode="ec2", QuotaCode=code)
        limit = float(answer["Quota"]["Value"])
    except (LaunchRefused, LookupError, TypeError, ValueError) as error:
        raise Unavailable(f"{region}: {type(error).__name__}") from error
    return QuotaRoom(cloud="aws", region=region, name=name, title=f"{name} spot", limit=limit, left=limit)
