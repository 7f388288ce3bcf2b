"""Step: choose the offer that finishes the job at the lowest cost, and report why."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.interruption_rates import with_current_rates
from spotwave.tasks.market.quota_room import within_quotas
from spotwave.tasks.market.rank import rank, why
from spotwave.tasks.records import Choice, Objective, Refusal

SHOWN = 10  # in the table


@task(name="select", persist_result=True, cache_policy=ONCE - "market" - "speeds" - "cooling" - "refused")
def select(
    market: Market,
    requirements: Requirements,
    work: Work,
    cooling: dict[str, str],
    attempt: int,
    *,
    clouds: list[str],
    objective: Objective = "cost",
    speeds: pl.DataFrame | None = None,
    round_: int = 1,
    refused: Sequence[Refusal] = (),
) -> Choice:
    """Rank the eligible offers and draw the table of offers.

    cooling: labels of offers whose pool was recently lost or refused, with the reason; they come last.
    attempt, round_: parts of the cache key, since every round makes a new choice. refused: refusals of the last round.
    clouds: the Cloud documents of the offers; queried for interruption rates and quotas of the leading offers.
    """
    log = get_run_logger()
    wings = {cloud.kind: cloud for cloud in map(load_cloud, clouds)}
    choice = rank(market, requirements, work, cooling, objective=objective, speeds=speeds, refused=refused)
    known = with_current_rates(market, choice, wings)
    ranking = partial(rank, known, requirements, work, cooling, objective=objective, speeds=speeds, refused=refused)
    if known is not market:
        choice = ranking()
    choice = within_quotas(choice, known, requirements, wings, lambda over: ranking(over=over))
    for rejected in choice.rejected:
        log.info("excluded %d offers: %s (e.g. %s)", rejected.count, rejected.reason, rejected.example)
    if choice.ranked:
        log.info("chosen: %s, %s", choice.ranked[0].offer.label, why(choice))
    create_markdown_artifact(key="offers", markdown=as_markdown(choice), description=f"The choice of attempt {attempt}")
    return choice


def as_markdown(choice: Choice) -> str:
    """Return the ranking with each cost term, then the excluded offers by reason, as Markdown."""
    goal = "Ranked by USD/h alone. " if choice.objective == "price" else ""
    lines = [
        f"{choice.seen} offers seen, {choice.eligible} eligible, the first {min(SHOWN, choice.eligible)} shown. {goal}"
        f"Hours and USD to finish are for {choice.work_core_h:g} core-hours of work, including losses.",
        "",
    ]
    if choice.ranked:
        lines += [f"**Chosen: {choice.ranked[0].offer.label}**, {why(choice)}.", ""]
    else:
        lines += [f"**Nothing chosen.** {choice.remedy}", ""]
    lines += _ranking(choice) if choice.ranked else _nearest(choice)
    if choice.rejected:
        lines += ["", "| excluded | reason | for example |", "|--:|--|--|"]
        lines += [f"| {r.count} | {r.reason} | {r.example} |" for r in choice.rejected]
    return "\n".join(lines)


def _ranking(choice: Choice) -> list[str]:
    shown = choice.ranked[:SHOWN]
    lines = [
        "| | offer | vCPUs | GiB | USD/h | interruption | speed | hours | lost | machine | disk, IP, egress | USD |",
        "|--|--|--:|--:|--:|--|--:|--:|--:|--:|--:|--:|",
    ]
    for place, r in enumerate(shown, start=1):
        o = r.offer
        cells = [
            f"{place} \\*" if r.cooling else str(place),
            o.label,
            str(o.vcpus),
            f"{o.memory_gib:.1f}",
            f"{o.spot_usd_h:.4f}",
            f"{o.interruption}, {r.rate:.1g}/h",
            f"{r.speed * o.cores:.1f}{'' if r.measured_speed else ' ?'}",
            f"{r.hours:.2f}",
            f"{r.waste:.1%}",
            f"{r.machine_usd:.4f}",
            f"{r.disk_usd + r.ip_usd + r.egress_usd:.4f}",
            f"**{r.expected_usd:.4f}**",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Speed is in reference cores of the whole machine; ? assumed, not yet measured by a job."]
    bases = dict.fromkeys(r.offer.interruption_basis for r in shown if r.offer.interruption_basis)
    lines += [f"\nInterruptions: {basis}." for basis in bases]
    if any(r.cooling for r in shown):
        lines += ["", "\\* cooling down: its pool was recently lost or refused."]
    return lines


def _nearest(choice: Choice) -> list[str]:
    if not choice.nearest:
        return []
    lines = ["| nearest | vCPUs | GiB | USD/h | excluded by |", "|--|--:|--:|--:|--|"]
    return lines + [
        f"| {n.offer.label} | {n.offer.vcpus} | {n.offer.memory_gib:.1f} | {n.offer.spot_usd_h:.4f} | {n.why_not} |"
        for n in choice.nearest
    ]
