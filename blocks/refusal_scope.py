"""How far a refusal reaches: facts in fields, by which every other offer can be told to be refused alike or not."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from spotwave.blocks.errors import LaunchRefused, Reach
from spotwave.blocks.models import Offer


class Scope(BaseModel):
    """The offers that a refusal speaks of; a field that is None: any."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    region: str | None = None
    zone: str | None = None  #: the region's name for an offer without a zone
    instance_type: str | None = None
    quota: str | None = None  #: the cloud's name of what the account may not have more of (`Cloud.quotas_of`)
    least: float | None = None  #: vCPUs, GPUs or machines of that quota which were refused; fewer may still be free

    @classmethod
    def of(cls, refused: LaunchRefused, offer: Offer, takes: Mapping[str, float]) -> Scope:
        """The scope of what a cloud said of an offer, which always lies in it.

        takes: what the offer takes of each quota. A quota that is not among them is one of which nothing is known: then
        the same type is refused in the region, and no other is passed over.
        """
        reach: Reach = "type" if refused.quota and refused.quota not in takes else refused.reach
        least = takes.get(refused.quota)
        if least is not None and refused.left is not None:
            least = min(least, math.floor(refused.left) + 1.0)
        return cls(
            cloud=offer.cloud,
            region=offer.region if reach in ("pool", "zone", "type", "region") else None,
            zone=offer.zone or offer.region if reach in ("pool", "zone") else None,
            instance_type=offer.instance_type if reach in ("pool", "type", "everywhere") else None,
            quota=refused.quota if refused.quota in takes else None,
            least=least,
        )

    def covers(self, offer: Offer, takes: Mapping[str, float]) -> bool:
        """Whether the offer would be refused alike; takes: what it takes of each quota."""
        return (
            self.cloud == offer.cloud
            and self.region in (None, offer.region)
            and self.zone in (None, offer.zone or offer.region)
            and self.instance_type in (None, offer.instance_type)
            and (self.quota is None or takes.get(self.quota, 0.0) >= (self.least or 0.0) > 0)
        )
