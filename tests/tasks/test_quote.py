"""The quote, compared with an independent simulation, and for unknown work."""

from __future__ import annotations

import math
import random
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from spotwave.blocks.market import Market
from spotwave.blocks.models import Offer, Requirements
from spotwave.tasks.cost.quote import GIVEN, LEARNED, hours_to_finish, quoted, spread
from spotwave.tasks.market.expected_cost import CHECKPOINT_S, Work, with_cost
from spotwave.tasks.records import Job, Ranked
from tests.tasks.test_expected_cost import an_offer

RUN = UUID("00000000-0000-0000-0000-000000000001")


def a_job(**changes: object) -> Job:
    fields = {
        "key": "sw-0123456789ab",
        "flow_run_id": RUN,
        "node": "n/machine",
        "parameters": {},
        "requirements": Requirements(disk_gib=10.0),
        "clouds": ["local-cloud/here"],
        "remote": "rclone-remote/here",
        "access": "prefect-access/here",
        "store": "snapshot-store/here",
        "results": Path("/tmp"),
        **changes,
    }
    return Job.model_validate(fields)


def ranked(offer: Offer, core_h: float, measured: bool = True) -> Ranked:
    row = with_cost(Market.of([offer]).frame, Work(core_h)).row(0, named=True)
    terms = {name: row[name] for name in Ranked.model_fields if name in row}
    return Ranked(offer=offer, **{**terms, "measured_speed": measured})


def simulated_hours(hours: float, rate: float, boot_s: float, dice: random.Random) -> float:
    """Simulate the billed hours of one job event by event: boot, restore, work, checkpoint, loss, and again."""
    checkpoint = CHECKPOINT_S / 3600
    pieces = max(1, math.ceil(hours / math.sqrt(2 * checkpoint / rate)))
    billed, done, fresh = 0.0, 0, True
    while True:
        lifetime = dice.expovariate(rate)
        clock = boot_s / 3600 + (0.0 if fresh else checkpoint)
        fresh = fresh and clock >= lifetime
        while clock < lifetime and done < pieces:
            clock += hours / pieces + checkpoint
            done += clock <= lifetime
        if done == pieces and clock <= lifetime:
            return billed + clock
        billed += lifetime


@pytest.mark.parametrize(
    ("hours", "sigma", "rate", "boot_s"),
    [(4.0, 0.3, 0.02, 120.0), (20.0, 0.4, 0.25, 180.0), (2.0, 0.0, 3.0, 300.0), (60.0, 0.2, 1.5, 60.0)],
)
def test_quantiles_match_an_event_by_event_simulation(hours: float, sigma: float, rate: float, boot_s: float) -> None:
    dice = random.Random(11)
    samples = [simulated_hours(hours * math.exp(dice.gauss(0, sigma)), rate, boot_s, dice) for _ in range(6000)]
    drawn = hours_to_finish(hours, sigma, rate, boot_s)
    for quantile in (0.5, 0.9):
        assert np.quantile(drawn, quantile) == pytest.approx(float(np.quantile(samples, quantile)), rel=0.03)
    assert drawn.mean() == pytest.approx(float(np.mean(samples)), rel=0.02)


def test_mean_equals_the_expected_cost_of_the_ranking() -> None:
    offer = an_offer(interruptions_per_h=0.05, disk_usd_gib_month=0.1, ip_usd_h=0.005)
    expected = with_cost(Market.of([offer]).frame, Work(80.0, disk_gib=10.0)).row(0, named=True)
    drawn = hours_to_finish(80.0 / (offer.cores * expected["speed"]), 0.0, expected["rate"], offer.boot_s)
    assert drawn.mean() == pytest.approx(expected["hours"], rel=0.02)


def test_samples_are_deterministic() -> None:
    assert (hours_to_finish(3.0, 0.3, 0.1, 60) == hours_to_finish(3.0, 0.3, 0.1, 60)).all()


def test_no_spread_without_uncertainty() -> None:
    drawn = hours_to_finish(3.0, 0.0, 0.0, 60.0)
    assert drawn.min() == drawn.max() == pytest.approx(3.0 + 60 / 3600 + CHECKPOINT_S / 3600)


def test_thousands_of_losses_are_fast() -> None:
    drawn = hours_to_finish(2000.0, 0.2, 20.0, 120.0)
    assert np.isfinite(drawn).all()
    assert drawn.mean() > 3000


def test_cost_includes_all_hourly_prices_and_egress() -> None:
    offer = an_offer(interruptions_per_h=0.0, disk_usd_gib_month=7.3, ip_usd_h=0.05, egress_usd_gib=0.1)
    quote = quoted(a_job(work_core_h=40.0, results_gib=2.0), ranked(offer, 40.0), 40.0, [])
    assert quote.usd_h == pytest.approx(0.25 + 0.05 + 0.1)
    assert quote.usd_p90 == pytest.approx(quote.hours_p90 * quote.usd_h + 0.2)
    assert quote.work == "given"
    assert quote.spread == pytest.approx(math.exp(GIVEN))
    assert 1.5 < quote.hours_p90 / quote.hours_p50 < 1.9, "a user's own figure is not exact"
    assert quote.on_demand_usd_p50 == pytest.approx((1.0 + 0.15) * 10 + 0.2)


def test_unknown_work_is_quoted_per_core_hour_with_the_maximum() -> None:
    quote = quoted(a_job(max_hours=10.0), ranked(an_offer(), 1.0), None, [])
    assert not quote.known
    assert "work unknown" in quote.line
    assert "per core-hour" in quote.line
    assert quote.hours_p50 == pytest.approx(0.25, rel=0.4)
    assert quote.most_usd == pytest.approx(2.5)
    capped = a_job(max_hours=10.0, max_usd=1.0)
    assert quoted(capped, ranked(an_offer(), 1.0), None, []).most_usd == 1.0
    assert quoted(capped, ranked(an_offer(), 1.0), None, [], spent_usd=0.75).most_usd == 0.25, (
        "spent on the earlier job"
    )


def test_more_consistent_runs_narrow_the_quote() -> None:
    one, many = spread([8.0]), spread([8.0, 8.1, 7.9, 8.0, 8.05, 7.95])
    assert many < 0.5 * one
    assert one > LEARNED
    assert spread([2.0, 8.0, 4.0]) > one, "runs that disagree are not averaged away"
    job = a_job()
    learned = quoted(job, ranked(an_offer(), 8.0), 8.0, [8.0, 8.1])
    assert (learned.work, learned.runs) == ("learned", 2)
    assumed = quoted(job, ranked(an_offer(), 8.0, measured=False), 8.0, [8.0, 8.1])
    assert assumed.spread > learned.spread, "an assumed speed adds to the spread"
