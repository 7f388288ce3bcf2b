"""Steps: the cost of a machine, as its cloud bills it, and the job's receipt."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import LaunchRefused
from spotwave.blocks.models import HOURS_A_MONTH, Machine
from spotwave.node.contract import Outcome, write_text
from spotwave.node.untrusted.plain_text import markdown
from spotwave.tasks.cache import ONCE
from spotwave.tasks.load_blocks import load_cloud
from spotwave.tasks.records import Attempt, Bill, Job, Quote

GIB = 2**30
MOST_BYTES_S = 12.5e9  # upper bound, 100 Gbit/s: the figure comes from the machine and is not trusted
RECEIPT_FILE = "receipt.json"
KEY, DESCRIPTION = "receipt", "Cost of the job by machine"  #: of the artifact

Prices = list[tuple[datetime, float]]


@task(name="bill", retries=1, retry_delay_seconds=2, persist_result=True, cache_policy=ONCE)
def bill(job: Job, machine: Machine, cloud: str, gone: datetime | None, outcome: Outcome | None) -> Bill:
    """Return the cost of a machine that is gone. cloud: its Cloud document.

    gone: when Spotwave found that it was gone; None if unknown, then it may be billed until it is reaped. If the cloud
    reports no figures, the receipt is written with Spotwave's own end time and the price of the launch, and marked so.
    The cloud is then asked again later (flows.housekeeping.settle_bills).
    """
    made, refused = bill_from_cloud(load_cloud(cloud), machine, gone, outcome.sent_bytes if outcome is not None else 0)
    if refused is not None:
        get_run_logger().warning("the bill of %s is not settled yet: %s", machine.id, refused)
    return made


def bill_from_cloud(block: Cloud, machine: Machine, gone: datetime | None, sent_bytes: int) -> tuple[Bill, str | None]:
    """Return the bill with what the cloud reports so far, and the reason if it refused to report.

    gone: when Spotwave found that the machine was gone; None if unknown.
    """
    ended, cloud_end, refused = gone or datetime.now(UTC), None, None
    prices: Prices | None = None
    try:
        cloud_end = block.billed_until(machine)
        ended = ended if cloud_end is None else min(ended, cloud_end)
    except LaunchRefused as error:
        refused = error.reason
    try:
        prices = block.prices_held(machine, ended)
        if prices is not None and not all(math.isfinite(usd_h) and usd_h >= 0 for _, usd_h in prices):
            prices, refused = None, "it reports invalid prices"
    except LaunchRefused as error:
        refused = error.reason
    held = prices or [(machine.launched_at, machine.offer.spot_usd_h)]
    made = billed(machine, block.least_billed_s, ended, held, sent_bytes, prices is None)
    unsettled = refused is not None or (cloud_end is None and (gone is None or block.tells_end_late))
    return made.model_copy(update={"end_told": cloud_end is not None, "unsettled": unsettled}), refused


def billed(
    machine: Machine, least_billed_s: float, ended: datetime, prices: Prices, sent_bytes: int = 0, assumed: bool = False
) -> Bill:
    """Return the bill by the second from launch to `ended`, at the prices of the time, with the minimum duration."""
    offer = machine.offer
    seconds = max(0.0, (ended - machine.launched_at).total_seconds())
    hours = max(seconds, least_billed_s) / 3600
    disk_usd = hours * offer.disk_usd_gib_month * machine.disk_gib / HOURS_A_MONTH
    ip_usd = hours * offer.ip_usd_h
    sent_gib = _sent_bytes(sent_bytes, 3600 * hours) / GIB
    egress_usd = sent_gib * offer.egress_usd_gib
    on_demand = offer.on_demand_usd_h
    return Bill(
        ended_at=ended,
        seconds=seconds,
        billed_s=3600 * hours,
        machine_usd=machine_usd(prices, machine.launched_at.timestamp(), 3600 * hours),
        disk_usd=disk_usd,
        ip_usd=ip_usd,
        egress_usd=egress_usd,
        on_demand_usd=None if on_demand is None else on_demand * hours + disk_usd + ip_usd + egress_usd,
        sent_gib=sent_gib,
        prices=prices,
        assumed=assumed,
    )


def _sent_bytes(reported: float, seconds: float) -> float:
    """Return the bytes that the machine reports as sent, within bounds: at least 0, so that a bill is never below the
    machine's own time at its price, and at most what the fastest line carries."""
    return min(max(0.0, reported), MOST_BYTES_S * seconds) if math.isfinite(reported) else 0.0


def machine_usd(prices: Prices, begun: float, seconds: float) -> float:
    """Return the cost of `seconds` from `begun` (Unix seconds) on, at the price of each time. The first price holds
    from the beginning, the last one to the end."""
    end = begun + seconds
    starts = [max(begun, at.timestamp()) for at, _ in prices]
    starts[0] = begun
    ends = [min(end, start) for start in starts[1:]] + [end]
    spans = zip(starts, ends, prices, strict=True)
    return sum(max(0.0, until - since) * usd_h for since, until, (_, usd_h) in spans) / 3600


def cost_of(attempts: list[Attempt], quote: Quote | None = None) -> dict[str, Any]:
    """Return the total cost of the attempts: USD by part, hours, on-demand cost (None if a price is unknown)."""
    bills = [attempt.bill for attempt in attempts if attempt.bill is not None]
    parts = {
        "machine_usd": sum(one.machine_usd for one in bills),
        "disk_usd": sum(one.disk_usd for one in bills),
        "ip_usd": sum(one.ip_usd for one in bills),
        "egress_usd": sum(one.egress_usd for one in bills),
    }
    known = [one.on_demand_usd for one in bills if one.on_demand_usd is not None]
    return {
        "usd": round(sum(attempt.usd for attempt in attempts), 6),
        "hours": round(sum(attempt.hours for attempt in attempts), 6),
        "on_demand_usd": round(sum(known), 6) if len(known) == len(attempts) else None,
        "parts": {name: round(usd, 6) for name, usd in parts.items()},
        "assumed": any(one.assumed for one in bills),
        "quote": None if quote is None else quote.model_dump(mode="json"),
    }


@task(name="receipt")
def receipt(job: Job, attempts: list[Attempt], quote: Quote | None, before_usd: float = 0.0) -> None:
    """Draw the artifact `receipt` and write `results/<job key>/receipt.json`, however the job has ended.

    before_usd: cost of the job that this one continues.
    """
    cost = keep(job, attempts, quote, before_usd)
    create_markdown_artifact(key=KEY, markdown=as_markdown(attempts, quote, cost), description=DESCRIPTION)
    get_run_logger().info("receipt: %s", line(cost, quote))


def keep(job: Job, attempts: list[Attempt], quote: Quote | None, before_usd: float) -> dict[str, Any]:
    """Write `results/<job key>/receipt.json`; return its cost section. Raises OSError."""
    cost = cost_of(attempts, quote) | {"before_usd": round(before_usd, 6)}
    attempt_list = [attempt_to_dict(one) for one in attempts]
    content = {"job_key": job.key, "project": job.project, "cost": cost, "attempts": attempt_list}
    job.results.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_text(job.results / RECEIPT_FILE, json.dumps(content, indent=1) + "\n")
    return cost


def line(cost: dict[str, Any], quote: Quote | None) -> str:
    """Return the cost in one line, compared with the quote and with on-demand prices."""
    words = [f"{cost['usd']:.4g} USD in {cost['hours']:.3g} machine hours"]
    if quote is not None and quote.known:
        words.append(f"quoted P50 {quote.usd_p50:.4g}, P90 {quote.usd_p90:.4g}")
    if cost["on_demand_usd"] is not None:
        words.append(f"on demand {cost['on_demand_usd']:.4g}")
    if cost.get("before_usd"):
        words.append(f"plus {cost['before_usd']:.4g} USD of the job that this one continues")
    return "; ".join(words)


def as_markdown(attempts: list[Attempt], quote: Quote | None, cost: dict[str, Any]) -> str:
    lines = [
        "| | machine | from (UTC) | billed | USD/h | USD | ended | machine only | disk | address | egress |",
        "|--|--|--|--:|--:|--:|--|--:|--:|--:|--:|",
    ]
    for attempt in attempts:
        one = attempt.bill
        if one is None:
            continue
        prices = sorted({usd_h for _, usd_h in one.prices})
        held = f"{prices[0]:.4f}" if len(prices) == 1 else f"{prices[0]:.4f} to {prices[-1]:.4f}"
        cells = [
            f"{attempt.number}{f', node {attempt.machine.node}' if attempt.machine.node else ''}",
            markdown(attempt.machine.offer.label),
            f"{attempt.machine.launched_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            f"{one.billed_s:.0f} s",
            f"{held}{' ?' if one.assumed else ''}",
            f"{one.usd:.6f}",
            attempt.outcome.in_a_word,
            *(f"{usd:.6f}" for usd in (one.machine_usd, one.disk_usd, one.ip_usd, one.egress_usd)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"**{line(cost, quote)}.**"]
    if cost["assumed"]:
        lines += ["", "? the cloud did not report the price; the price at launch is assumed."]
    lines += [
        f"\nThe end of attempt {attempt.number} is as observed by Spotwave. The cloud reports it within minutes, and "
        "the receipt is then corrected."
        for attempt in attempts
        if attempt.bill is not None and attempt.bill.unsettled
    ]
    if any(one.bill is not None and one.bill.sent_gib for one in attempts):
        lines += ["", "Egress as if the remote were outside the cloud: the bytes that machines sent, without retries."]
    return "\n".join(lines)


def attempt_to_dict(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as in result.json and receipt.json."""
    offer, one = attempt.machine.offer, attempt.bill
    return {
        "number": attempt.number,
        "node": attempt.machine.node,
        "machine": attempt.machine.id,
        "cloud": offer.cloud,
        "instance_type": offer.instance_type,
        "region": offer.region,
        "zone": offer.zone,
        "vcpus": offer.vcpus,
        "memory_gib": offer.memory_gib,
        "spot_usd_h": offer.spot_usd_h,
        "why": attempt.why,
        "refusals": [{"offer": r.offer.label, "kind": r.kind, "reason": r.reason} for r in attempt.refusals],
        "launched_at": attempt.machine.launched_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat(),
        "ending": str(attempt.outcome.ending),
        "cause": attempt.outcome.cause,
        "signal": attempt.outcome.signal,
        "exit_status": attempt.outcome.exit_status,
        "step": attempt.outcome.step,
        "reason": attempt.outcome.reason,
        "usd": round(attempt.usd, 6),
        "bill": None if one is None else one.model_dump(mode="json"),
    }
