"""Steps: what a machine has cost, as its cloud counts, and the job's receipt."""

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
MOST_BYTES_S = 12.5e9  # that a machine can send: 100 Gbit/s; it says itself how much, and may be anybody's
RECEIPT_FILE = "receipt.json"
KEY, DESCRIPTION = "receipt", "What it has cost, machine by machine"  #: of the artifact

Prices = list[tuple[datetime, float]]


@task(name="bill", retries=1, retry_delay_seconds=2, persist_result=True, cache_policy=ONCE)
def bill(job: Job, machine: Machine, cloud: str, gone: datetime | None, outcome: Outcome | None) -> Bill:
    """What a machine that is gone has cost. cloud: its Cloud document.

    gone: when we saw that it was; None: nobody has, and it may bill on until it is reaped. A cloud that does not tell
    is no reason to lose the receipt: then the end is as we saw it and the price that of the launch, the receipt says
    so, and the cloud is asked again later (flows.housekeeping.settle_bills).
    """
    made, refused = asked(load_cloud(cloud), machine, gone, outcome.sent_bytes if outcome is not None else 0)
    if refused is not None:
        get_run_logger().warning("the bill of %s is not settled yet: %s", machine.id, refused)
    return made


def asked(block: Cloud, machine: Machine, gone: datetime | None, sent_bytes: int) -> tuple[Bill, str | None]:
    """What the cloud tells of a machine's cost, as far as it does by now; and why it would not tell, if so.

    gone: when we saw that the machine was gone; None: nobody has.
    """
    ended, told, refused = gone or datetime.now(UTC), None, None
    prices: Prices | None = None
    try:
        told = block.billed_until(machine)
        ended = ended if told is None else min(ended, told)
    except LaunchRefused as error:
        refused = error.reason
    try:
        prices = block.prices_held(machine, ended)
        if prices is not None and not all(math.isfinite(usd_h) and usd_h >= 0 for _, usd_h in prices):
            prices, refused = None, "it tells prices that are none"
    except LaunchRefused as error:
        refused = error.reason
    held = prices or [(machine.launched_at, machine.offer.spot_usd_h)]
    made = billed(machine, block.least_billed_s, ended, held, sent_bytes, prices is None)
    unsettled = refused is not None or (told is None and (gone is None or block.tells_end_late))
    return made.model_copy(update={"end_told": told is not None, "unsettled": unsettled}), refused


def billed(
    machine: Machine, least_billed_s: float, ended: datetime, prices: Prices, sent_bytes: int = 0, assumed: bool = False
) -> Bill:
    """By the second from launch to `ended`, each at the price that held, but for so long at least."""
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


def _sent_bytes(told: float, seconds: float) -> float:
    """What a machine says that it has sent, as far as that can be: never less than nothing, so that a bill is never
    below the machine's own time at its price, nor more than the widest line carries."""
    return min(max(0.0, told), MOST_BYTES_S * seconds) if math.isfinite(told) else 0.0


def machine_usd(prices: Prices, begun: float, seconds: float) -> float:
    """So many seconds from `begun` (Unix seconds) on, each at the price that held then; the first price holds from
    the beginning, the last one to the end."""
    end = begun + seconds
    starts = [max(begun, at.timestamp()) for at, _ in prices]
    starts[0] = begun
    ends = [min(end, start) for start in starts[1:]] + [end]
    spans = zip(starts, ends, prices, strict=True)
    return sum(max(0.0, until - since) * usd_h for since, until, (_, usd_h) in spans) / 3600


def cost_of(attempts: list[Attempt], quote: Quote | None = None) -> dict[str, Any]:
    """The attempts' cost together: USD by part, hours, the same on demand (None if an offer's price is unknown)."""
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
    """Draw the artifact `receipt` and keep `results/<job key>/receipt.json`, however the job has ended.

    before_usd: what the job that it continues has cost.
    """
    cost = keep(job, attempts, quote, before_usd)
    create_markdown_artifact(key=KEY, markdown=as_markdown(attempts, quote, cost), description=DESCRIPTION)
    get_run_logger().info("receipt: %s", line(cost, quote))


def keep(job: Job, attempts: list[Attempt], quote: Quote | None, before_usd: float) -> dict[str, Any]:
    """Write `results/<job key>/receipt.json` anew; the cost that stands there. Raises OSError."""
    cost = cost_of(attempts, quote) | {"before_usd": round(before_usd, 6)}
    told = {"job_key": job.key, "project": job.project, "cost": cost, "attempts": [as_told(one) for one in attempts]}
    job.results.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_text(job.results / RECEIPT_FILE, json.dumps(told, indent=1) + "\n")
    return cost


def line(cost: dict[str, Any], quote: Quote | None) -> str:
    """In one line, against the quote and against on-demand."""
    words = [f"{cost['usd']:.4g} USD in {cost['hours']:.3g} machine hours"]
    if quote is not None and quote.known:
        words.append(f"quoted P50 {quote.usd_p50:.4g}, P90 {quote.usd_p90:.4g}")
    if cost["on_demand_usd"] is not None:
        words.append(f"the same on demand {cost['on_demand_usd']:.4g}")
    if cost.get("before_usd"):
        words.append(f"and {cost['before_usd']:.4g} before, on the job that this one continues")
    return "; ".join(words)


def as_markdown(attempts: list[Attempt], quote: Quote | None, cost: dict[str, Any]) -> str:
    lines = [
        "| | machine | from (UTC) | billed | USD/h | USD | ended | of it machine | disk | address | egress |",
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
        lines += ["", "? the cloud did not tell what held; the price of the launch is assumed."]
    lines += [
        f"\nThe end of attempt {attempt.number} is when we saw it; the cloud tells within minutes, and this receipt is "
        "then corrected."
        for attempt in attempts
        if attempt.bill is not None and attempt.bill.unsettled
    ]
    if any(one.bill is not None and one.bill.sent_gib for one in attempts):
        lines += ["", "Egress as if the remote lay outside of the cloud: what the machines sent, retries not counted."]
    return "\n".join(lines)


def as_told(attempt: Attempt) -> dict[str, Any]:
    """An attempt as result.json and receipt.json tell it."""
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
