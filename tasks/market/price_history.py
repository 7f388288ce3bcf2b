"""Step: draw prices over time, per cloud, for the leading offers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
from prefect import task

from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.blocks.snapshots import days_ago
from spotwave.tasks.figure import show
from spotwave.tasks.load_blocks import load_store
from spotwave.tasks.market.publish_snapshot import Published, current

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAYS = 30
LEADING = 3  # lines per panel
_COLOURS = ("#1f5fa8", "#c2410c", "#15803d")


@task(name="draw_prices")
def draw_prices(published: list[Published], store: str, requirements: Requirements) -> None:
    """Draw the artifact `prices-over-time`: USD/h of the last `DAYS` days, one panel per cloud, for the types that meet
    the requirements and are the cheapest today. Draws nothing if none is eligible. Raises StoreUnavailable.
    """
    shelf = load_store(store)
    leading = leaders(current(published, shelf), requirements)
    if leading.is_empty():
        return
    since = days_ago(datetime.now(UTC), DAYS)
    lines = history(shelf.frame(leading["cloud"].unique().to_list(), since=since, pools=leading))
    show(_figure(lines), "prices-over-time", "Price over time", f"USD/h of the leading offers, last {DAYS} days")


def leaders(market: Market, requirements: Requirements) -> pl.DataFrame:
    """Return the cheapest pool of each cloud's `LEADING` cheapest types: cloud, instance_type, region, zone."""
    cheapest = (
        market.eligible(requirements)
        .frame.sort("spot_usd_h", "cloud", "instance_type", "region", "zone")
        .unique(["cloud", "instance_type"], keep="first", maintain_order=True)
    )
    return (
        cheapest.group_by("cloud", maintain_order=True)
        .head(LEADING)
        .select("cloud", "instance_type", "region", "zone")
        .sort("cloud", maintain_order=True)
    )


def history(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Return each pool's prices by time: columns cloud, label, taken_at, spot_usd_h."""
    return (
        snapshots.with_columns(label=pl.concat_str("instance_type", pl.coalesce("zone", "region"), separator=" "))
        .select("cloud", "label", "taken_at", "spot_usd_h")
        .sort("cloud", "label", "taken_at")
    )


def _figure(lines: pl.DataFrame) -> Figure:
    # Imported here: it would slow down every start of the flow.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    clouds = lines["cloud"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(7.5, 2.5 * len(clouds) + 0.3), layout="constrained")
    panels = figure.subplots(len(clouds), squeeze=False)[:, 0]
    for panel, cloud in zip(panels, clouds, strict=True):
        labels = lines.filter(pl.col("cloud") == cloud).partition_by("label", maintain_order=True)
        for colour, series in zip(_COLOURS, labels, strict=False):
            times, prices = series["taken_at"].to_list(), series["spot_usd_h"].to_list()
            panel.plot(times, prices, "o-", drawstyle="steps-post", ms=3, color=colour, label=series["label"][0])
        panel.set_title(cloud, loc="left", fontsize=10)
        panel.set_ylabel("USD/h")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, loc="lower left")
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return figure
