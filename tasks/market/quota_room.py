"""Offers that an account's quotas cannot hold, found out before they are ranked for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Offer, Requirements
from spotwave.blocks.quota_room import QuotaRoom
from spotwave.blocks.registry import wing
from spotwave.tasks.records import Choice

LEADING = 10  # offers of a ranking whose quotas are asked for
ROUNDS = 4  # a ranking has other leaders when the first are left out

#: cloud, region and instance type of an offer, and the quota that it exceeds, in words
OVER = {"cloud": pl.String(), "region": pl.String(), "instance_type": pl.String(), "over": pl.String()}
_TYPE = ["cloud", "region", "instance_type"]


def within_quotas(
    choice: Choice,
    market: Market,
    requirements: Requirements,
    clouds: Mapping[str, Cloud],
    again: Callable[[pl.DataFrame], Choice],
) -> Choice:
    """The choice without the offers that are known not to fit; what is not known leaves nothing out.

    again: the ranking without the offers of a table with the columns of `OVER`. Where nothing fits beside what is in
    use, what would fit an empty account stays: whoever launches is refused then, and waits for room.
    """
    rooms: list[QuotaRoom] = []
    asked: set[tuple[str, str, str]] = set()
    for _ in range(ROUNDS):
        leaders = {r.offer: _names(r.offer) - asked for r in choice.ranked[:LEADING] if r.offer.cloud in clouds}
        wanted = [offer for offer, names in leaders.items() if names]
        if not wanted:
            break
        asked |= set().union(*leaders.values())
        told = [room for kind, cloud in clouds.items() if (its := _of(wanted, kind)) for room in cloud.quota_room(its)]
        if not told:
            continue
        rooms += [room for room in told if room not in rooms]
        eligible = market.eligible(requirements).frame
        over = _over(eligible, {_key(room): (room.left, room.said) for room in rooms})
        if not over.height:
            continue
        choice = again(over)
        if not choice.ranked:
            return again(_over(eligible, {_key(room): (room.limit, room.said) for room in rooms}))
    return choice


def _key(room: QuotaRoom) -> tuple[str, str, str]:
    return (room.cloud, room.region, room.name)


def _names(offer: Offer) -> set[tuple[str, str, str]]:
    return {(offer.cloud, offer.region, name) for name in wing(offer.cloud).quotas_of(offer)}


def _of(offers: Sequence[Offer], kind: str) -> list[Offer]:
    return [offer for offer in offers if offer.cloud == kind]


def _over(eligible: pl.DataFrame, most: Mapping[tuple[str, str, str], tuple[float, str]]) -> pl.DataFrame:
    """The types that take more of a quota than it has: a table with the columns of `OVER`."""
    places = {(cloud, region) for cloud, region, _ in most}
    whole = [cloud for cloud, region in places if not region]
    here = pl.concat_str("cloud", "region", separator=" ").is_in([" ".join(place) for place in places])
    types = eligible.filter(here | pl.col("cloud").is_in(whole)).unique(_TYPE, keep="first", maintain_order=True)
    rows = [
        (offer.cloud, offer.region, offer.instance_type, said)
        for offer in offers_of(types)
        if (said := _exceeded(offer, most)) is not None
    ]
    return pl.DataFrame(rows, schema=OVER, orient="row")


def _exceeded(offer: Offer, most: Mapping[tuple[str, str, str], tuple[float, str]]) -> str | None:
    for name, takes in wing(offer.cloud).quotas_of(offer).items():
        for region in (offer.region, ""):
            amount, said = most.get((offer.cloud, region, name), (takes, ""))
            if takes > amount:
                return said
    return None
