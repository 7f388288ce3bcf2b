"""Scope of a refusal, as data: determines which other offers would be refused too."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from spotwave.blocks.errors import LaunchRefused, Reach
from spotwave.blocks.models import Offer


class Scope(BaseModel):
    """The offers that a refusal applies to; None in a field matches any value."""

    model_config = ConfigDict(frozen=True)

    cloud: str
    region: str | None = None
    zone: str | None = None  #: the region's name if the offer has no zone
    instance_type: str | None = None
    quota: str | None = None  #: the cloud's name of the exhausted quota (`Cloud.quotas_of`)
    least: float | None = None  #: refused amount of that quota (vCPUs, GPUs or machines); less may still be free

    @classmethod
    def of(cls, refused: LaunchRefused, offer: Offer, takes: Mapping[str, float]) -> Scope:
        """Return the scope of a refusal of an offer. It always includes the offer itself.

        takes: how much of each quota the offer uses. If the refused quota is not in it, nothing is known about that
        quota: then only the same type in the same region counts as refused.
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
        """Whether the offer would be refused too; takes: how much of each quota it uses."""
        return (
            self.cloud == offer.cloud
            and self.region in (None, offer.region)
            and self.zone in (None, offer.zone or offer.region)
            and self.instance_type in (None, offer.instance_type)
            and (self.quota is None or takes.get(self.quota, 0.0) >= (self.least or 0.0) > 0)
        )
