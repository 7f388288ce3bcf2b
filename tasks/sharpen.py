"""Better interruption rates for the leading offers, where a cloud tells them only one offer at a time."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from blocks.cloud import Cloud
from blocks.market import Market
from tasks.job import Choice

LEADING = 10  # each is a call


def sharpened(market: Market, choice: Choice, clouds: Mapping[str, Cloud]) -> Market:
    """The market with what the clouds say of the leading offers whose interruption is unknown; itself if nothing.

    clouds: by kind.
    """
    unknown = [r.offer for r in choice.ranked[:LEADING] if r.offer.interruption == "unknown"]
    rows = [
        (*pool, word)
        for kind, cloud in clouds.items()
        if (offers := [offer for offer in unknown if offer.cloud == kind])
        for pool, word in cloud.interruptions(offers).items()
        if word != "unknown"
    ]
    if not rows:
        return market
    told = pl.DataFrame(rows, schema=["cloud", "instance_type", "place", "told"], orient="row")
    place = pl.coalesce("zone", "region")
    frame = (
        market.frame.with_columns(place=place)
        .join(told, on=["cloud", "instance_type", "place"], how="left", maintain_order="left")
        .with_columns(interruption=pl.coalesce("told", "interruption"))
        .drop("place", "told")
    )
    return Market(frame, market.dropped, market.missing)
