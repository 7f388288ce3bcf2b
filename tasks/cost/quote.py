"""Step: estimate the job's cost on the chosen offer, before anything is launched: P50 and P90, in USD and hours.

The model is that of `tasks.market.expected_cost.with_cost`, which gives the mean that offers are ranked by; a quote
also needs the spread. It is sampled with a fixed seed, since the quantiles have no closed form: the spread of the work
multiplies a compound sum (a negative binomial number of losses, each of a truncated exponential length).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from spotwave.blocks.models import HOURS_A_MONTH, Offer
from spotwave.blocks.snapshots import StoreUnavailable
from spotwave.tasks.cache import ONCE
from spotwave.tasks.market.expected_cost import CHECKPOINT_S
from spotwave.tasks.market.learned import runs_of
from spotwave.tasks.records import Job, Quote, Ranked

DRAWS = 20_000  # the error of the P90 is then below 2 %
SEED = 5
EXACT = 50  # losses drawn one by one; the sum of more is normal to within a fraction of a percent

# One standard deviation of ln(work) if it is not measured. A user's own figure is within a factor of 1.5 in two cases
# of three; the same calculation on another night or another machine of the family, within 1.25.
GIVEN = math.log(1.5)
LEARNED = math.log(1.25)
SPEED = math.log(1.2)  # the same for a family's assumed speed

Hours = NDArray[np.float64]


@task(name="quote", persist_result=True, cache_policy=ONCE)
def quote(job: Job, ranked: Ranked, work_core_h: float | None, spent_usd: float = 0.0) -> Quote:
    """Estimate the cost and draw the artifact `quote`.

    work_core_h: the known work, in core-hours of a reference core; None if unknown. spent_usd: spent by the job that
    this one continues; it counts towards max_usd.
    """
    job_quote = quoted(job, ranked, work_core_h, _runs(job), spent_usd)
    get_run_logger().info("quote: %s", job_quote.line)
    create_markdown_artifact(key="quote", markdown=as_markdown(job_quote), description="What it will cost")
    return job_quote


def quoted(job: Job, ranked: Ranked, work_core_h: float | None, runs: list[float], spent_usd: float = 0.0) -> Quote:
    """Return the quote. runs: core-hours that earlier runs of the same calculation took."""
    offer = ranked.offer
    work_source: Literal["given", "learned", "unknown"] = "unknown"
    if work_core_h is not None:
        work_source = "given" if job.work_core_h is not None else "learned"
    core_h = 1.0 if work_core_h is None else work_core_h
    sigma = spread(runs) if work_source == "learned" else GIVEN
    if not ranked.measured_speed:
        sigma = math.hypot(sigma, SPEED)
    pure = core_h / (offer.cores * ranked.speed)
    drawn = hours_to_finish(pure, 0.0 if work_source == "unknown" else sigma, ranked.rate, offer.boot_s)
    p50, p90 = (float(one) for one in np.quantile(drawn, [0.5, 0.9]))
    usd_h = hourly_usd(offer, job.requirements.disk_gib)
    egress = offer.egress_usd_gib * job.results_gib
    beside = usd_h - offer.spot_usd_h
    on_demand = None if offer.on_demand_usd_h is None else (offer.on_demand_usd_h + beside) * pure + egress
    most = job.max_hours * usd_h + egress
    return Quote(
        offer=offer.label,
        usd_h=usd_h,
        work=work_source,
        work_core_h=core_h,
        runs=len(runs) if work_source == "learned" else 0,
        spread=math.exp(sigma),
        hours_p50=p50,
        hours_p90=p90,
        usd_p50=p50 * usd_h + egress,
        usd_p90=p90 * usd_h + egress,
        on_demand_usd_p50=on_demand,
        most_usd=most if job.max_usd is None else max(0.0, min(most, job.max_usd - spent_usd)),
        max_hours=job.max_hours,
    )


def hourly_usd(offer: Offer, disk_gib: float) -> float:
    """Return the price of machine, disk and address; USD/h."""
    return offer.spot_usd_h + offer.ip_usd_h + offer.disk_usd_gib_month * disk_gib / HOURS_A_MONTH


def spread(runs: list[float]) -> float:
    """Return one standard deviation of ln(work) of the next run: the spread of the runs, shrunk towards `LEARNED` with
    the weight of one run, combined with the error of their mean."""
    logs = np.log([one for one in runs if one > 0] or [1.0])
    variance = (LEARNED**2 + float(((logs - logs.mean()) ** 2).sum())) / len(logs)
    return math.sqrt(variance * (1 + 1 / len(logs)))


def hours_to_finish(
    hours: float, sigma: float, rate: float, boot_s: float, checkpoint_s: float = CHECKPOINT_S, draws: int = DRAWS
) -> Hours:
    """Return `draws` samples of the billed hours of all machines until the work is done.

    hours: pure computing time (median); sigma: standard deviation of its logarithm; rate: interruptions per hour, a
    Poisson process that runs while a machine runs. The work is cut into equal pieces of about sqrt(2 C / rate) (Young
    1974, Commun. ACM 17, 530), each ended by a checkpoint of cost C. An interruption costs the work done in that piece,
    and a boot and a restore (of cost C), which may be interrupted in turn.
    """
    random = np.random.default_rng(SEED)
    checkpoint_h, boot_h = checkpoint_s / 3600, boot_s / 3600
    work = hours * np.exp(sigma * random.standard_normal(draws))
    if rate <= 0:
        return np.asarray(boot_h + work + checkpoint_h)
    pieces = np.maximum(1.0, np.ceil(work / math.sqrt(2 * checkpoint_h / rate)))
    piece = work / pieces + checkpoint_h
    restart = np.full(draws, boot_h + checkpoint_h)
    boot = np.full(draws, boot_h)
    hit = _failures(random, pieces, piece, rate)
    again = _failures(random, hit, restart, rate)
    first = _failures(random, np.ones(draws), boot, rate)
    lost = [_lost(random, hit, piece, rate), _lost(random, again, restart, rate), _lost(random, first, boot, rate)]
    return np.asarray(boot_h + work + pieces * checkpoint_h + hit * restart + sum(lost))


def _failures(random: np.random.Generator, successes: Hours, length: Hours, rate: float) -> Hours:
    """Draw the number of interruptions before `successes` stretches of this length succeed (negative binomial)."""
    survived = np.maximum(np.exp(-rate * length), 1e-9)
    drawn = random.negative_binomial(np.maximum(successes, 1), survived)
    return np.where(successes > 0, drawn, 0).astype(np.float64)


def _lost(random: np.random.Generator, counts: Hours, length: Hours, rate: float) -> Hours:
    """Draw the sum of `counts` exponential times, each truncated to `length`."""
    exponent = np.clip(rate * length, 1e-12, 500.0)
    few = np.where(counts <= EXACT, counts, 0).astype(np.int64)
    which = np.repeat(np.arange(len(counts)), few)
    times = -np.log1p(random.random(len(which)) * np.expm1(-exponent[which])) / rate
    total = np.bincount(which, times, minlength=len(counts))
    mean = (1 - exponent / np.expm1(exponent)) / rate
    variance = (1 - exponent**2 * np.exp(exponent) / np.expm1(exponent) ** 2) / rate**2
    many = counts * mean + np.sqrt(np.maximum(counts * variance, 0.0)) * random.standard_normal(len(counts))
    return np.asarray(np.where(counts <= EXACT, total, np.maximum(many, 0.0)))


def as_markdown(job_quote: Quote) -> str:
    """Return the quote as Markdown for the run's page."""
    rows = [
        ("offer", job_quote.offer),
        ("price", f"{job_quote.usd_h:.4f} USD/h with disk and address"),
        ("half of such jobs cost at most", f"**{job_quote.usd_p50:.4g} USD**, {job_quote.hours_p50:.3g} h"),
        ("nine in ten cost at most", f"**{job_quote.usd_p90:.4g} USD**, {job_quote.hours_p90:.3g} h"),
    ]
    if job_quote.on_demand_usd_p50 is not None:
        rows.append(("on demand, undisturbed", f"{job_quote.on_demand_usd_p50:.4g} USD"))
    rows.append(("at most, by the job's limits", f"{job_quote.most_usd:.4g} USD"))
    head = "" if job_quote.known else "**Work unknown**: the figures are for one core-hour of it, not for the job.\n\n"
    return head + "\n".join(["| | |", "|--|--|", *(f"| {name} | {value} |" for name, value in rows)])


def _runs(job: Job) -> list[float]:
    try:
        return runs_of(job)
    except StoreUnavailable as error:
        get_run_logger().warning("the spread of the work is assumed, not learned: %s", error)
        return []
