"""Step: artifacts of a run of `prices` in the Prefect UI."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
from prefect import task
from prefect.artifacts import create_markdown_artifact

from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.tasks.load_blocks import load_store
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.price_changes import PriceChanges, price_changes
from spotwave.tasks.market.publish_snapshot import Published, current, earlier, rows_by_region
from spotwave.tasks.market.rank import rank
from spotwave.tasks.records import Choice

CHEAPEST = 10


@task(name="report")
def report(published: list[Published], store: str, requirements: Requirements) -> None:
    """Draw the artifacts `prices` (clouds, dropped rows, cheapest offers, changes) and `prices-by-region`.

    Raises StoreUnavailable.
    """
    shelf = load_store(store)
    now = datetime.now(UTC)
    market = current(published, shelf)
    choice = rank(market, requirements, Work(core_h=1.0), {}, objective="price")
    moved = price_changes(market, earlier(published, shelf, now), requirements)
    parts = [_clouds(published), _cheapest(choice), _moved(moved), _dropped(published)]
    create_markdown_artifact(
        key="prices", markdown="\n\n".join(part for part in parts if part), description="The spot market now"
    )
    create_markdown_artifact(
        key="prices-by-region", markdown=_regions(market), description="Offers by cloud and region"
    )


def _clouds(published: list[Published]) -> str:
    lines = ["| cloud | snapshot | offers | dropped | seconds |", "|--|--|--:|--:|--:|"]
    for one in published:
        when = f"{one.taken_at:%Y-%m-%d %H:%M} UTC" if one.taken_at else "none"
        state = f"fresh, {when}" if one.fresh else f"**not fresh**, {when}"
        lines.append(f"| {one.cloud} | {state} | {one.offers:,} | {sum(one.dropped.values()):,} | {one.seconds:.1f} |")
    lines += [f"\n**{one.line}**" for one in published if not one.fresh]
    lines += [f"\n{one.cloud}: {remark}" for one in published for remark in one.remarks]
    return "\n".join(lines)


def _dropped(published: list[Published]) -> str:
    rows = [(reason, count) for one in published for reason, count in one.dropped.items()]
    missing = [(place, why) for one in published for place, why in one.missing.items()]
    lines = []
    if rows:
        lines += ["| rows dropped | why |", "|--:|--|"]
        lines += [f"| {count:,} | {reason} |" for reason, count in sorted(rows, key=lambda row: (-row[1], row[0]))]
    if missing:
        lines += ["", "| incomplete | why |", "|--|--|", *(f"| {place} | {why} |" for place, why in missing)]
    return "\n".join(lines)


def _cheapest(choice: Choice) -> str:
    if not choice.ranked:
        return f"No offer for the usual requirements. {choice.remedy}"
    lines = [
        f"The {min(CHEAPEST, choice.eligible)} cheapest of {choice.eligible:,} that meet the usual requirements:",
        "",
        "| offer | vCPUs | GiB | USD/h | saving | interruption |",
        "|--|--:|--:|--:|--:|--|",
    ]
    for one in choice.ranked[:CHEAPEST]:
        offer = one.offer
        saving = "" if offer.saving is None else f"{offer.saving:.0%}"
        lines.append(
            f"| {offer.label} | {offer.vcpus} | {offer.memory_gib:g} | {offer.spot_usd_h:.4f} | {saving} "
            f"| {offer.interruption} |"
        )
    return "\n".join(lines)


def _moved(moved: PriceChanges) -> str:
    if not moved.counts.select((pl.col("cheaper") + pl.col("dearer") + pl.col("same")).sum()).item():
        return "No snapshot of an earlier day to compare with yet."
    lines = ["Since the last snapshot of an earlier day:", ""]
    lines += ["| cloud | cheaper | more expensive | same | new | gone | median move |", "|--|--:|--:|--:|--:|--:|--:|"]
    for row in moved.counts.to_dicts():
        median = "" if row["median"] is None else f"{row['median'] - 1:+.1%}"
        counts = " | ".join(f"{row[name]:,}" for name in ("cheaper", "dearer", "same", "new", "gone"))
        lines.append(f"| {row['cloud']} | {counts} | {median} |")
    if moved.biggest.height:
        lines += ["", "| biggest changes | before | now | |", "|--|--:|--:|--:|"]
        lines += [
            f"| {row['cloud']} {row['instance_type']} {row['place']} | {row['before']:.4f} | {row['spot_usd_h']:.4f} "
            f"| {row['factor'] - 1:+.0%} |"
            for row in moved.biggest.to_dicts()
        ]
    return "\n".join(lines)


def _regions(market: Market) -> str:
    lines = ["| cloud | region | offers |", "|--|--|--:|"]
    lines += [f"| {cloud} | {region} | {offers:,} |" for cloud, region, offers in rows_by_region(market).iter_rows()]
    return "\n".join(lines)
