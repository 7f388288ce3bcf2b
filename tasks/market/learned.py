"""What jobs record for later ones in the snapshot store: duration of the work, and pools that failed them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import polars as pl
from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.market import Market
from spotwave.blocks.models import Offer
from spotwave.blocks.snapshots import SnapshotStore, StoreUnavailable
from spotwave.node.contract import Ending
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud, load_store
from spotwave.tasks.market import learned_notes
from spotwave.tasks.market.learned_notes import LOSSES, RUNS, Warn, ignore_warning
from spotwave.tasks.market.speed import assumed_speed, learned
from spotwave.tasks.records import Attempt, Job, Refusal

COOL_S = 3600.0  # 90 % of a pool's interruptions are within minutes of each other; an hour is a safe margin


def work_key(node: str, work: Mapping[str, Any]) -> str:
    """Return the key of a kind of work: jobs of one node flow with equal `work` take equally long."""
    return sha256(json.dumps([node, work], sort_keys=True).encode()).hexdigest()[:16]


def work_of(job: Job) -> str:
    """Return the job's kind of work, as its story declares it, independent of memory, clouds and limits."""
    return job.work or work_key(job.node, job.parameters)


@task(name="recall", persist_result=True, cache_policy=ONCE)
def recall(job: Job, attempt: int, round_: int = 1) -> tuple[pl.DataFrame | None, float | None, dict[str, str]]:
    """Return measured speeds, the job's work in reference core-hours if known, and cooling pools with the reason.

    Executed once per round of an attempt, so that a restarted controller repeats its choice. An unreadable store is no
    reason not to compute: then nothing is known.
    """
    log = get_run_logger()
    store = load_store(job.store)
    try:
        runs = learned_notes.runs(store, log.warning)
        cooling = cooling_pools(store, datetime.now(UTC), log.warning)
    except StoreUnavailable as error:
        log.warning("measurements of earlier jobs are unavailable: %s", error)
        return None, None, {}
    speeds, core_h = learned(runs, job.node, work_of(job))
    if core_h is not None:
        log.info("earlier runs of this calculation: %.3g core-hours", core_h)
    return speeds, core_h, cooling


def runs_of(job: Job) -> list[float]:
    """Return the core-hours of a reference core, by assumed speeds, of each earlier run of this calculation.

    Raises StoreUnavailable.
    """
    work = work_of(job)
    return [run["core_h"] * run["assumed"] for run in learned_notes.runs(load_store(job.store)) if run["work"] == work]


def measured_speeds(store: SnapshotStore, kind: str) -> pl.DataFrame:
    """Return the speeds by family that jobs of a kind measured (tasks.market.speed.SPEEDS). Raises StoreUnavailable."""
    return learned(learned_notes.runs(store), kind, "")[0]


def cooling_pools(store: SnapshotStore, now: datetime, warn: Warn = ignore_warning) -> dict[str, str]:
    """Return the labels of offers whose pool refused or lost a machine within `COOL_S`. Raises StoreUnavailable."""
    before = now - timedelta(seconds=COOL_S)
    days = [now] if before.date() == now.date() else [before, now]
    found: dict[str, str] = {}
    for loss in (loss for day in days for loss in learned_notes.losses(store, day, warn)):
        age_s = (now - loss.at).total_seconds()
        if 0 <= age_s < COOL_S:
            found[loss.offer] = f"{loss.what} {age_s / 60:.0f} min ago"
    return found


@task(name="remember_losses")
def remember_losses(job: Job, attempt: Attempt) -> None:
    """Record the pools that refused or lost a machine of this attempt, so that later jobs avoid them for a while."""
    events = [(refusal.offer, f"refused ({refusal.kind})") for refusal in attempt.refusals]
    # Not for an attempt whose program failed or ran out of memory or disk: that is no fault of the pool.
    if attempt.outcome.ending in (Ending.INTERRUPTED, Ending.LOST) and attempt.outcome.cause is None:
        events.append((attempt.machine.offer, str(attempt.outcome.ending)))
    has_market = {cloud.kind for cloud in map(load_cloud, job.clouds) if cloud.has_market}
    for number, (offer, what) in enumerate(events):
        if offer.cloud in has_market:
            at = attempt.ended_at.astimezone(UTC)
            name = f"{job.key}-{attempt.number}-{number}"
            fields = {"offer": offer.label, "what": what, "at": at.isoformat()}
            _note(job, f"{LOSSES}/{at:%Y-%m-%d}", name, fields)


@task(name="remember_refusals")
def remember_refusals(job: Job, attempt: int, refusals: list[Refusal]) -> None:
    """Record the pools that refused a machine in a round without one, so that other jobs and the next round try others
    first. One note per pool, which the next round replaces."""
    at = datetime.now(UTC)
    has_market = {cloud.kind for cloud in map(load_cloud, job.clouds) if cloud.has_market}
    for refusal in refusals:
        if refusal.offer.cloud in has_market and refusal.kind not in ("limit", "reserve"):
            name = f"{job.key}-{attempt}-{sha256(refusal.offer.label.encode()).hexdigest()[:12]}"
            fields = {"offer": refusal.offer.label, "what": f"refused ({refusal.kind})", "at": at.isoformat()}
            _note(job, f"{LOSSES}/{at:%Y-%m-%d}", name, fields)


@task(name="remember_run")
def remember_run(job: Job, attempts: list[Attempt], seconds: float) -> None:
    """Record what the finished job measured. seconds: of computing, all attempts together.

    A job that ran on several families measures none of them, and is not recorded.
    """
    offers = [attempt.machine.offer for attempt in attempts]
    if len({(offer.cloud, offer.family, offer.cores) for offer in offers}) > 1 or not 0 < seconds < math.inf:
        get_run_logger().info("machines of several kinds: no speed can be measured")
        return
    offer = offers[-1]
    note = run_note(job.node, work_of(job), offer, seconds, attempts[-1].ended_at)
    _note(job, RUNS, job.key, {"job": job.key, **note})


def run_note(kind: str, work: str, offer: Offer, seconds: float, at: datetime) -> dict[str, Any]:
    """Return the note that `tasks.market.speed.learned` reads."""
    assumed = Market.of([offer]).frame.select(assumed_speed()).item()
    return {
        "kind": kind,
        "work": work,
        "cloud": offer.cloud,
        "family": offer.family,
        "instance_type": offer.instance_type,
        "core_h": seconds / 3600 * offer.cores,
        "assumed": assumed,
        "at": at.isoformat(),
    }


def _note(job: Job, folder: str, name: str, fields: dict[str, Any]) -> None:
    try:
        load_store(job.store).note(folder, name, fields)
    except StoreUnavailable as error:
        get_run_logger().warning("not recorded for later jobs: %s", error)
