"""Rank the offers by the cost to finish the job: filter, cost, sort. Pure: the same market gives the same choice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from spotwave.blocks.market import Market, offers_of
from spotwave.blocks.models import Requirements
from spotwave.tasks.market.expected_cost import Work, with_cost
from spotwave.tasks.market.refusals import covers
from spotwave.tasks.records import Choice, Near, Objective, Ranked, Reason, Refusal, Rejected

#: Length of the ranking: more than one walk tries (tasks.machine.walk_offers.MOST_TRIES). The best offers of each
#: region and of each family are added, at most as many each, since a quota or a policy may exclude a whole region or
#: family.
KEPT = 50
NEAREST = 3
# Ties go to the faster offer, then by name, so that the result does not depend on the order of the rows.
ORDER: dict[Objective, tuple[str, ...]] = {
    "cost": ("expected_usd", "hours", "spot_usd_h"),
    "price": ("spot_usd_h", "expected_usd", "hours"),
}
_NAME = ("cloud", "region", "zone", "instance_type")
TERMS = tuple(name for name in Ranked.model_fields if name not in ("offer", "cooling"))


def rank(
    market: Market,
    requirements: Requirements,
    work: Work,
    cooling: Mapping[str, str],
    *,
    objective: Objective = "cost",
    speeds: pl.DataFrame | None = None,
    refused: Sequence[Refusal] = (),
    over: pl.DataFrame | None = None,
) -> Choice:
    """Return the best `KEPT` eligible offers with each term of their cost, and what was excluded and why.

    cooling: labels of offers (`Offer.label`) whose pool was recently lost or refused, with the reason; ranked last.
    refused: refusals of the last round; all offers that they cover are ranked last, too.
    speeds: measured speeds (tasks.market.speed.SPEEDS); None: nothing measured yet.
    over: types that exceed a quota (tasks.market.quota_room.OVER); excluded from the ranking.
    """
    judged = market.judged(requirements).with_columns(over_quota=pl.lit(False))
    if over is not None:
        judged = _without(judged, over)
    eligible = with_cost(judged.filter(pl.col("why_not").is_null()), work, speeds)
    cooling = {**cooling, **_covered(eligible, refused)}
    cool = _label().is_in(list(cooling)) if cooling else pl.lit(False)
    keys = ["cool", *ORDER[objective], *_NAME]
    best = _best(eligible.with_columns(cool=cool), keys)
    ranked = [
        Ranked(offer=offer, cooling=cooling.get(offer.label), **{name: row[name] for name in TERMS})
        for offer, row in zip(offers_of(best), best.to_dicts(), strict=True)
    ]
    excluded = judged.filter(pl.col("why_not").is_not_null())
    nearest = [] if ranked else _nearest(excluded)
    return Choice(
        objective=objective,
        ranked=ranked,
        seen=len(market),
        eligible=eligible.height,
        work_core_h=work.core_h,
        rejected=_groups(excluded),
        nearest=nearest,
        remedy=None if ranked else _remedy(nearest),
        may_change=None if ranked else _may_change(market, requirements, over),
    )


def _without(judged: pl.DataFrame, over: pl.DataFrame) -> pl.DataFrame:
    """Add the quota as one more requirement, checked last, that these types do not meet."""
    joined = judged.with_columns(pl.col("why_not").cast(pl.String)).join(
        over, on=["cloud", "region", "instance_type"], how="left", maintain_order="left"
    )
    exceeds = pl.col("over").is_not_null().cast(pl.UInt8)
    return joined.with_columns(
        over_quota=pl.col("why_not").is_null() & pl.col("over").is_not_null(),
        why_not=pl.coalesce("why_not", "over"),
        misses=pl.col("misses") + exceeds,
    ).drop("over")


def _best(eligible: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return the first `KEPT`, and the first of every region and of every family, since a quota, a policy or an outage
    may exclude a whole region or family."""
    worth = pl.when("cool").then(math.inf).otherwise(pl.col(keys[1]))
    best = [eligible.bottom_k(KEPT, by=keys)]
    for group in (["cloud", "region"], ["cloud", "family"]):
        candidates = eligible.filter(worth == worth.min().over(group)).sort(keys)
        best.append(candidates.unique(group, keep="first", maintain_order=True).head(KEPT))
    return pl.concat(best).unique(list(_NAME), maintain_order=True).sort(keys)


def _covered(eligible: pl.DataFrame, refused: Sequence[Refusal]) -> dict[str, str]:
    """Return the labels of the offers that a refusal covers, with the reason."""
    clouds = {refusal.offer.cloud for refusal in refused}
    if not clouds:
        return {}
    found: dict[str, str] = {}
    for offer in offers_of(eligible.filter(pl.col("cloud").is_in(list(clouds)))):
        kind = next((refusal.kind for refusal in refused if covers(refusal, offer)), None)
        if kind is not None:
            found[offer.label] = f"refused ({kind}) in the last round"
    return found


def _may_change(market: Market, requirements: Requirements, over: pl.DataFrame | None) -> Reason | None:
    """Return "NoOffer" if only prices exclude all offers, since prices change; None if anything else does."""
    if requirements.max_usd_h is None or requirements.max_usd_h < 0:  # no price will ever be that low
        return None
    at_any_price = market.judged(requirements.model_copy(update={"max_usd_h": None}))
    if over is not None:
        at_any_price = _without(at_any_price, over)
    return "NoOffer" if at_any_price["why_not"].null_count() else None


def why(choice: Choice) -> str:
    """Say in one line why the first offer of the ranking is first."""
    first = choice.ranked[0]
    if choice.objective == "price":
        text = f"{first.offer.spot_usd_h:.4f} USD/h, by price alone"
    else:
        text = (
            f"{first.expected_usd:.4f} USD and {first.hours:.2f} h expected for {choice.work_core_h:g} core-hours of "
            f"work at {first.offer.spot_usd_h:.4f} USD/h"
        )
    if first.cooling:
        return f"{text}; all others are cooling down too ({first.cooling})"
    if len(choice.ranked) == 1:
        return f"{text}; the only eligible offer"
    second = choice.ranked[1]
    if second.cooling:
        return f"{text}; the others are cooling down ({second.cooling})"
    if choice.objective == "price":
        return f"{text}; next best {second.offer.label} at {second.offer.spot_usd_h:.4f} USD/h"
    if second.expected_usd > first.expected_usd:
        return f"{text}; next best {second.offer.label} at {second.expected_usd:.4f} USD"
    return f"{text}; as cheap as {second.offer.label}, and no slower"


def _label() -> pl.Expr:
    """Return `Offer.label` as a column."""
    return pl.concat_str("cloud", "instance_type", pl.coalesce("zone", "region"), separator=" ")


def _groups(refused: pl.DataFrame) -> list[Rejected]:
    """Return the excluded offers by the first requirement that excludes them, the biggest group first."""
    groups = (
        refused.group_by("why_not")
        .agg(pl.len().alias("count"), pl.col("instance_type").min().alias("example"))
        .with_columns(pl.col("why_not").cast(pl.String))
        .sort("count", "why_not", descending=[True, False])
    )
    return [Rejected(reason=row["why_not"], count=row["count"], example=row["example"]) for row in groups.to_dicts()]


def _nearest(refused: pl.DataFrame) -> list[Near]:
    """Return the offers that miss the fewest requirements, the biggest first, one per type."""
    keys = ["misses", "vcpus", "memory_gib", *_NAME]
    order = [False, True, True, *(False for _ in _NAME)]
    one_of_a_type = refused.filter(pl.col("misses") == pl.col("misses").min()).sort(keys, descending=order)
    near = one_of_a_type.unique(["cloud", "instance_type"], keep="first", maintain_order=True).head(NEAREST)
    return [
        Near(offer=offer, why_not=row["why_not"], misses=row["misses"], over_quota=row["over_quota"])
        for offer, row in zip(offers_of(near), near.to_dicts(), strict=True)
    ]


def _remedy(nearest: list[Near]) -> str:
    """Say which requirement or quota excluded the nearest offer, and what to do."""
    if not nearest:
        return "clouds: no cloud has any offers. Name another cloud."
    near, offer = nearest[0], nearest[0].offer
    if near.over_quota:
        return (
            f"quota: every offer that meets the requirements exceeds the account's quota, e.g. {offer.label} with "
            f"{offer.vcpus} vCPUs: {near.why_not}. Request a higher quota, ask for fewer vCPUs, or add a cloud."
        )
    return (
        f"requirements: no offer meets them. The nearest, {offer.label} ({offer.vcpus} vCPUs, "
        f"{offer.memory_gib:.1f} GiB, {offer.spot_usd_h:.4f} USD/h), is excluded by {near.why_not}. "
        "Relax that requirement, or add a cloud."
    )
