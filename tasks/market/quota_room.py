"""Exclude offers that an account's quotas do not allow, before the final ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Offer, Requirements
from spotwave.blocks.quota_room import QuotaRoom
from spotwave.blocks.registry import wing
from spotwave.tasks.records import Choice

LEADING = 10  # offers of a ranking whose quotas are checked
ROUNDS = 4  # without the excluded offers, other offers lead the ranking

#: Cloud, region and instance type of an offer, and a description of the quota that it exceeds.
OVER = {"cloud": pl.String(), "region": pl.String(), "instance_type": pl.String(), "over": pl.String()}
_TYPE = ["cloud", "region", "instance_type"]


def within_quotas(
    choice: Choice,
    market: Market,
    requirements: Requirements,
    clouds: Mapping[str, Cloud],
    again: Callable[[pl.DataFrame], Choice],
) -> Choice:
    """Return the choice without offers that are known to exceed a quota; unknown quotas exclude nothing.

    again: ranks without the offers of a table with the columns of `OVER`. If current use leaves no room for any offer,
    offers that would fit an empty account stay: their launch is refused, and the job waits for capacity.
    """
    rooms: list[QuotaRoom] = []
    asked: set[tuple[str, str, str]] = set()
    for _ in range(ROUNDS):
        leaders = {r.offer: _names(r.offer) - asked for r in choice.ranked[:LEADING] if r.offer.cloud in clouds}
        wanted = [offer for offer, names in leaders.items() if names]
        if not wanted:
            break
        asked |= set().union(*leaders.values())
        reported = [
            room for kind, cloud in clouds.items() if (its := _of(wanted, kind)) for room in cloud.quota_room(its)
        ]
        if not reported:
            continue
        rooms += [room for room in reported if room not in rooms]
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
    """Return the types that need more than a quota has left: a table with the columns of `OVER`."""
    places = {(cloud, region) for cloud, region, _ in most}
    whole = [cloud for cloud, region in places if not region]
    here = pl.concat_str("cloud", "region", separator=" ").is_in([" ".join(place) for place in places])
    types = eligible.filter(here | pl.col("cloud").is_in(whole)).unique(_TYPE, keep="first", maintain_order=True)
    rows = [
        (offer.cloud, offer.region, offer.instance_type, description)
        for offer in offers_of(types)
        if (description := _exceeded(offer, most)) is not None
    ]
    return pl.DataFrame(rows, schema=OVER, orient="row")


def _exceeded(offer: Offer, most: Mapping[tuple[str, str, str], tuple[float, str]]) -> str | None:
    for name, takes in wing(offer.cloud).quotas_of(offer).items():
        for region in (offer.region, ""):
            amount, description = most.get((offer.cloud, region, name), (takes, ""))
            if takes > amount:
                return description
    return None
