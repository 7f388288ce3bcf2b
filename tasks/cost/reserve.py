"""Step: determine how much an attempt may cost, and reserve it in the ledger before anything is launched."""

from __future__ import annotations

import math
import time

from prefect import task
from prefect.logging import get_run_logger

from spotwave.blocks.budget import Budget
from spotwave.blocks.models import Offer
from spotwave.blocks.snapshots import StoreUnavailable
from spotwave.node.contract import SAVE_S, Limit
from spotwave.tasks.cache import ONCE
from spotwave.tasks.cost import ledger
from spotwave.tasks.cost.quote import hourly_usd
from spotwave.tasks.load_blocks import load_budget, load_store
from spotwave.tasks.records import Allowance, Bill, Cap, Choice, Job, Placed, Quote, Refusal

TEARDOWN_S = 30.0  # from the agent's end until billing stops
LEAST_WORK_S = 30.0  # minimum working time that justifies a boot
LIKELY = 10  # leading offers of a ranking: the reservation covers the most expensive of them


@task(name="reserve", persist_result=True, cache_policy=ONCE)
def reserve(
    job: Job,
    attempt: int,
    choice: Choice,
    deadline: float,
    spent_usd: float,
    quote: Quote | None,
    approved_usd: float | None = None,
    round_: int = 1,
) -> Allowance:
    """Reserve what the attempt may cost under the tightest of all limits.

    deadline: Unix seconds by which the machine ends at any cost. spent_usd: spent on this job's earlier attempts and on
    the job that it continues; approved_usd: the approved cap for all of these together. round_: placement round of the
    attempt; the reservation of an earlier round is withdrawn. An unreadable ledger prevents the launch only if there is
    a limit.
    """
    offers = [ranked.offer for ranked in choice.ranked[:LIKELY]]
    now = time.time()
    wanted = max(_usd(job, offer, deadline - now) for offer in offers)
    budget = load_budget(job.budget) if job.budget is not None else Budget()
    cap = own_cap(job, approved_usd, spent_usd)
    found = [cap] if cap is not None else []
    most = min([wanted, *(one.usd for one in found)])
    mine = ledger.reservation(job, attempt, most, now, deadline, quote)
    try:
        store = load_store(job.store)
        ledger.write(store, mine)
        if budget.limits:
            everything = budget.usd_per_project is not None
            found.append(ledger.left(mine, ledger.read(store, None if everything else mine.month), budget))
        if not found:
            return Allowance(at=now)
        usd, limit, message = min(found)
        if usd < (least := min(_usd(job, offer, _least_s(offer)) for offer in offers)):
            ledger.write(store, ledger.withdrawn(job, attempt, now, quote))
            refused = _too_little(message, usd, least, limit)
            return Allowance(usd=usd, limit=limit, said=message, at=now, refused=refused)
        allowance = Allowance(usd=usd, limit=limit, said=message, at=now, reserved_usd=min(wanted, usd))
        until = min(deadline, max(stops_at(allowance, job, offer) for offer in offers))
        ledger.write(store, ledger.reservation(job, attempt, min(wanted, usd), now, until, quote))
    except StoreUnavailable as error:
        if not found and not budget.limits:
            get_run_logger().warning("not in the ledger of spending: %s", error)
            return Allowance(at=now)
        refused = f"store: the ledger of spending is unavailable, so nothing is launched under a limit ({error})"
        return Allowance(usd=0.0, limit=Limit.STORE, said=refused, at=now, refused=refused)
    get_run_logger().info("attempt %d may cost %.4g USD (%s)", attempt, usd, message)
    return allowance


def own_cap(job: Job, approved_usd: float | None, spent_usd: float) -> Cap | None:
    """Return the tighter of the job's max_usd and the approved cost; None if there is neither."""
    if approved_usd is not None and (job.max_usd is None or approved_usd < job.max_usd):
        message = f'approved: of the approved {approved_usd:.4g} USD ("at most"), {spent_usd:.4g} are spent'
        return Cap(max(0.0, approved_usd - spent_usd), Limit.APPROVED, f"{message} on this job")
    if job.max_usd is None:
        return None
    message = f"max_usd: of {job.max_usd:g} USD, {spent_usd:.4g} are spent on this job"
    return Cap(max(0.0, job.max_usd - spent_usd), Limit.MAX_USD, message)


def stops_at(allowance: Allowance | None, job: Job, offer: Offer) -> float:
    """Return the Unix time by which a machine of that offer must end, so that it costs no more than allowed."""
    usd_h = hourly_usd(offer, job.requirements.disk_gib)
    if allowance is None or allowance.usd is None or usd_h <= 0:
        return math.inf
    hours = (allowance.usd - offer.egress_usd_gib * job.results_gib) / usd_h
    return allowance.at + 3600 * hours - TEARDOWN_S


def too_short(offer: Offer, stop: float, since: float) -> bool:
    """Whether a machine of that offer, launched at `since`, would have to stop before it did any work."""
    return stop - since < _least_s(offer) - TEARDOWN_S


def not_allowed(allowance: Allowance | None, job: Job, offer: Offer, stop: float, deadline: float) -> Refusal | None:
    """Return why a machine of that offer, which stops at `stop`, is not launched; None if it may be.

    Under a limit it must have time to do some work, and cost no more than was reserved, so that concurrent jobs keep
    the limit together. Offers beyond the leading ones may be more expensive; they are considered in the next round.
    """
    if allowance is None or allowance.usd is None:
        return None
    if stop < deadline and too_short(offer, stop, allowance.at):
        return Refusal(offer=offer, kind="limit", reason=f"too expensive. {allowance.said}", lasting=True)
    usd = _usd(job, offer, stop - allowance.at)
    if allowance.reserved_usd is not None and usd > allowance.reserved_usd * (1 + 1e-6):
        reason = f"may cost {usd:.4g} USD, but only {allowance.reserved_usd:.4g} are reserved"
        return Refusal(offer=offer, kind="reserve", reason=reason)
    return None


@task(name="settle", retries=2, retry_delay_seconds=[1, 5], persist_result=True, cache_policy=ONCE)
def settle(job: Job, attempt: int, placed: Placed | None, bill: Bill | None, at: float, quote: Quote | None) -> None:
    """Replace the attempt's reservation, made at `at`, by its cost; without a machine, withdraw it.

    If the store is unavailable, the reservation stays: it is safer to count too much than too little.
    """
    if placed is None or bill is None:
        entry = ledger.withdrawn(job, attempt, at, quote)
    else:
        entry = ledger.ended(job, placed.machine, bill, at, quote)
    try:
        ledger.write(load_store(job.store), entry)
    except StoreUnavailable as error:
        get_run_logger().warning("the reservation of attempt %d stays in the ledger of spending: %s", attempt, error)


def _usd(job: Job, offer: Offer, seconds: float) -> float:
    egress = offer.egress_usd_gib * job.results_gib
    return hourly_usd(offer, job.requirements.disk_gib) * max(0.0, seconds) / 3600 + egress


def _least_s(offer: Offer) -> float:
    return offer.boot_s + LEAST_WORK_S + SAVE_S + TEARDOWN_S


def _too_little(message: str, usd: float, least: float, limit: Limit) -> str:
    remedies = {
        Limit.MAX_USD: "Allow more",
        Limit.APPROVED: "Run it again, and approve the higher cost",
        Limit.STORE: "Check the store",
    }
    remedy = remedies.get(
        limit, "Allow more in the Budget block, wait for running jobs to end, or give jobs a max_usd or fewer max_hours"
    )
    return f"{message}; {usd:.4g} USD are left, and a machine needs at least {least:.4g}. {remedy}."
