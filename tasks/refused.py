"""What a refusal says of the offers that were not tried yet."""

from __future__ import annotations

from blocks.cloud import Offer
from tasks.job import Refusal


def covers(refusal: Refusal, offer: Offer) -> bool:
    """Whether a refusal makes it pointless to try this offer too."""
    other = refusal.offer
    if other.cloud != offer.cloud:
        return False
    match refusal.kind:
        case "quota cloud":
            return True
        case "quota region":
            return other.region == offer.region
        case "quota zone":
            return (other.region, other.zone) == (offer.region, offer.zone)
        case "quota type":
            return (other.region, other.instance_type) == (offer.region, offer.instance_type)
        case "unfit":
            return other.instance_type == offer.instance_type
        case _:
            return other.pool == offer.pool
