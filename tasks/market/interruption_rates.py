"""Better interruption rates for the leading offers, if a cloud reports them only for one offer at a time."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.interruption_columns import word
from spotwave.blocks.market import Market
from spotwave.tasks.records import Choice

LEADING = 10  # one API call each


def with_current_rates(market: Market, choice: Choice, clouds: Mapping[str, Cloud]) -> Market:
    """Return the market with the clouds' rates for leading offers whose interruption is unknown; unchanged if none.

    clouds: by kind.
    """
    unknown = [r.offer for r in choice.ranked[:LEADING] if r.offer.interruption == "unknown"]
    rows = [
        (*pool, rate.per_h, rate.basis)
        for kind, cloud in clouds.items()
        if (offers := [offer for offer in unknown if offer.cloud == kind])
        for pool, rate in cloud.interruptions(offers).items()
    ]
    if not rows:
        return market
    rates = pl.DataFrame(rows, schema=["cloud", "instance_type", "place", "told_per_h", "told_basis"], orient="row")
    place = pl.coalesce("zone", "region")
    frame = (
        market.frame.with_columns(place=place)
        .join(rates, on=["cloud", "instance_type", "place"], how="left", maintain_order="left")
        .with_columns(
            interruptions_per_h=pl.coalesce("told_per_h", "interruptions_per_h"),
            interruption_basis=pl.coalesce("told_basis", "interruption_basis"),
            heard=pl.col("told_per_h").is_not_null(),
        )
        # Only the updated rows: a row of an old snapshot may have a category and no rate.
        .with_columns(interruption=pl.when("heard").then(word()).otherwise("interruption"))
        .drop("place", "told_per_h", "told_basis", "heard")
    )
    return Market(frame, market.dropped, market.missing)
