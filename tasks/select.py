"""Step: choose the offer that finishes the job for least, and say why."""

from __future__ import annotations

import polars as pl
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from blocks.cloud import Requirements
from blocks.market import Market, offers_of
from tasks.job import Choice, Ranked, Rejected
from tasks.money import with_cost
from tasks.once import ONCE

SHOWN = 10  # in the table
KEPT = 50  # in the ranking: more than are ever tried


@task(name="select", persist_result=True, cache_policy=ONCE - "market")
def select(
    market: Market, requirements: Requirements, work_core_h: float, cooling: dict[str, str], attempt: int
) -> Choice:
    """Rank the eligible offers and draw the table of offers.

    cooling: labels of offers whose pool was lost or refused lately, with the reason; they come last.
    attempt: part of the cache key, since every attempt chooses afresh.
    """
    choice = rank(market, requirements, work_core_h, cooling)
    log = get_run_logger()
    for rejected in choice.rejected:
        log.info("left out %d offers: %s (e.g. %s)", rejected.count, rejected.reason, rejected.example)
    if choice.ranked:
        log.info("chosen: %s, %s", choice.ranked[0].offer.label, why(choice))
    create_markdown_artifact(
        key="offers", markdown=_table(choice, len(market)), description=f"The choice of attempt {attempt}"
    )
    return choice


def rank(market: Market, requirements: Requirements, work_core_h: float, cooling: dict[str, str]) -> Choice:
    """Pure: filter, cost, sort. Ties go to the faster, then by name, so that the same market gives the same choice."""
    judged = market.judged(requirements)
    label = pl.concat_str("cloud", "instance_type", pl.coalesce("zone", "region"), separator=" ")
    eligible = (
        with_cost(judged.filter(pl.col("why_not").is_null()), work_core_h)
        .with_columns(label=label)
        .with_columns(cool=pl.col("label").is_in(list(cooling)))
        .sort("cool", "expected_usd", "hours", "spot_usd_h", "cloud", "region", "zone", "instance_type")
    )
    best = eligible.head(KEPT)
    ranked = [
        Ranked(
            offer=offer,
            hours=row["hours"],
            waste=row["waste"],
            expected_usd=row["expected_usd"],
            cooling=cooling.get(row["label"]),
        )
        for offer, row in zip(offers_of(best), best.to_dicts(), strict=True)
    ]
    refused = judged.filter(pl.col("why_not").is_not_null()).with_columns(label=label)
    groups = (
        refused.group_by("why_not")
        .agg(pl.len().alias("count"), pl.col("label").min().alias("example"))
        .sort("count", "why_not", descending=[True, False])
    )
    rejected = [Rejected(reason=g["why_not"], count=g["count"], example=g["example"]) for g in groups.to_dicts()]
    return Choice(
        ranked=ranked,
        eligible=eligible.height,
        work_core_h=work_core_h,
        rejected=rejected,
        remedy=None if ranked else _remedy(refused),
    )


def why(choice: Choice) -> str:
    """One line: why the first of the ranking is first."""
    first = choice.ranked[0]
    text = (
        f"{first.expected_usd:.4f} USD and {first.hours:.2f} h expected for {choice.work_core_h:g} core-hours of work "
        f"at {first.offer.spot_usd_h:.4f} USD/h"
    )
    if first.cooling:
        return f"{text}; the only ones left are cooling down ({first.cooling})"
    if len(choice.ranked) == 1:
        return f"{text}; the only eligible offer"
    second = choice.ranked[1]
    if second.expected_usd > first.expected_usd:
        return f"{text}; next best {second.offer.label} at {second.expected_usd:.4f} USD"
    return f"{text}; as cheap as {second.offer.label}, and no slower"


def _remedy(refused: pl.DataFrame) -> str:
    """Which requirement excluded the nearest offer: the one that misses fewest, then the biggest."""
    if refused.is_empty():
        return "clouds: no cloud offered anything. Name another cloud."
    nearest = refused.sort("misses", "vcpus", "memory_gib", "label", descending=[False, True, True, False]).row(
        0, named=True
    )
    return (
        f"requirements: no offer meets them. The nearest, {nearest['label']} ({nearest['vcpus']} vCPUs, "
        f"{nearest['memory_gib']:.1f} GiB, {nearest['spot_usd_h']:.4f} USD/h), is excluded by {nearest['why_not']}. "
        "Relax that requirement, or add a cloud."
    )


def _table(choice: Choice, seen: int) -> str:
    """Markdown: the ranking with each term, then the rejected by reason."""
    lines = [
        f"{seen} offers seen, {choice.eligible} eligible, the first {min(SHOWN, choice.eligible)} shown. "
        f"Hours and USD to finish are for {choice.work_core_h:g} core-hours of work, losses included.",
        "",
    ]
    if choice.ranked:
        lines += [f"**Chosen: {choice.ranked[0].offer.label}**, {why(choice)}.", ""]
    else:
        lines += [f"**Nothing chosen.** {choice.remedy}", ""]
    lines += [
        "| | cloud | type | where | vCPUs | GiB | USD/h | interruption | hours | lost | USD to finish |",
        "|--|--|--|--|--:|--:|--:|--|--:|--:|--:|",
    ]
    for place, r in enumerate(choice.ranked[:SHOWN], start=1):
        o = r.offer
        cells = [
            f"{place} \\*" if r.cooling else str(place),
            o.cloud,
            o.instance_type,
            o.zone or o.region,
            str(o.vcpus),
            f"{o.memory_gib:.1f}",
            f"{o.spot_usd_h:.4f}",
            o.interruption,
            f"{r.hours:.2f}",
            f"{r.waste:.1%}",
            f"{r.expected_usd:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if any(r.cooling for r in choice.ranked[:SHOWN]):
        lines += ["", "\\* cooling down: its pool was lost or refused in an earlier attempt."]
    if choice.rejected:
        lines += ["", "| left out | reason | for example |", "|--:|--|--|"]
        lines += [f"| {r.count} | {r.reason} | {r.example} |" for r in choice.rejected]
    return "\n".join(lines)
