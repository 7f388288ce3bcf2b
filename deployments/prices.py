"""`spotwave prices` and `spotwave why`: tables of offers, and explanations of their ranking."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from spotwave.blocks.concurrent import OnProgress, no_progress
from spotwave.blocks.models import Offer
from spotwave.blocks.registry import WINGS, wing
from spotwave.blocks.snapshots import SnapshotStore
from spotwave.deployments.api import Unavailable
from spotwave.deployments.existing_api import existing_api
from spotwave.deployments.home import Home
from spotwave.deployments.offer_options import OfferOptions
from spotwave.flows.market_view import (
    Choice,
    Clouds,
    Explained,
    Follow,
    MarketView,
    Ranked,
    Work,
    all_clouds,
    explain,
    last_market,
    market_view_now,
    measured_speeds,
    rank,
    saved_store,
    why,
)
from spotwave.node.untrusted.plain_text import plain

_KIND = "shci-node/machine"  # measured speeds are of this kind of job, until there is a second kind
TABLE_CHARS = 100_000  # maximum length of a job's table of offers


def work_of(asked: OfferOptions) -> Work:
    return Work(core_h=asked.work, disk_gib=asked.disk, results_gib=asked.results)


@contextmanager
def store_and_client(home: Home) -> Iterator[tuple[SnapshotStore, SyncPrefectClient | None]]:
    """Yield the snapshot store, and the API's client or None: prices can be shown without a running server."""
    try:
        api = existing_api(home)
    except Unavailable:
        yield SnapshotStore(url=str(home.store)), None
        return
    with api.in_use(home), get_client(sync_client=True) as client:
        if client.api_healthcheck() is not None:
            yield SnapshotStore(url=str(home.store)), None
        else:
            yield saved_store() or SnapshotStore(url=str(home.store)), client


def load_view(
    asked: OfferOptions, now: bool, store: SnapshotStore, client: SyncPrefectClient | None, console: Console
) -> MarketView:
    """Return the market from the last snapshots, or from the clouds with a progress bar each.

    Raises StoreUnavailable.
    """
    kinds = [kind for kind in WINGS if kind != "local" and kind in (asked.cloud or WINGS)]
    if not now:
        return last_market(store, kinds)
    saved = _saved(client)
    documents = {name: cloud for name, cloud in saved.has_market.items() if cloud.kind in kinds}
    with _bars(console) as follow:
        seen = market_view_now(documents, store, follow)
    present = {cloud.kind for cloud in documents.values()}
    absent = [
        f"{kind}: skipped, no credentials; create a block '{wing(kind).get_block_type_name()}' under Blocks in the "
        "Prefect UI (`spotwave open`)"
        for kind in kinds
        if kind not in present
    ]
    return MarketView(seen.market, seen.taken_at, [*seen.notes, *saved.broken.values(), *absent])


def _saved(client: SyncPrefectClient | None) -> Clouds:
    """Return the saved Cloud blocks; without an API, the clouds whose prices can be read without an account."""
    if client is not None:
        return all_clouds()
    return Clouds({slug: wing(kind)() for kind, (slug, _, _) in WINGS.items() if kind in PUBLIC}, {})


PUBLIC = ("azure",)  # kinds of clouds whose block works without any field set


@contextmanager
def _bars(console: Console) -> Iterator[Follow]:
    if not console.is_terminal:
        yield lambda kind: no_progress
        return
    columns = (TextColumn("{task.description:6}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:

        def follow(kind: str) -> OnProgress:
            bar = bars.add_task(kind, total=None)
            return lambda done, total: bars.update(bar, completed=done, total=total)

        yield follow


def choose(asked: OfferOptions, seen: MarketView, store: SnapshotStore) -> Choice:
    """Rank the market's offers. Raises ValueError for invalid options, StoreUnavailable."""
    requirements = asked.requirements()
    speeds = measured_speeds(store, _KIND)
    return rank(seen.market, requirements, work_of(asked), {}, objective=asked.objective, speeds=speeds)


def as_table(choice: Choice, top: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, side in (
        ("cloud", "left"),
        ("instance type", "left"),
        ("region", "left"),
        ("zone", "left"),
        ("vCPUs", "right"),
        ("GiB", "right"),
        ("USD/h", "right"),
        ("saving", "right"),
        ("interruption", "left"),
        ("USD to finish", "right"),
    ):
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    for one in choice.ranked[:top]:
        offer = one.offer
        table.add_row(
            offer.cloud,
            offer.instance_type,
            offer.region,
            offer.zone or "any",
            str(offer.vcpus),
            f"{offer.memory_gib:g}",
            f"{offer.spot_usd_h:.4f}",
            _saving(offer),
            offer.interruption,
            f"{one.expected_usd:.2f}",
        )
    return table


def _saving(offer: Offer) -> str:
    return "?" if offer.saving is None else f"{offer.saving:.0%}"


def closing(choice: Choice, seen: MarketView) -> list[str]:
    """Return the lines below the table: why the first offer is first, age of the prices, missing clouds."""
    lines = [f"{choice.eligible:,} of {choice.seen:,} offers are eligible."]
    if choice.ranked:
        lines.append(f"first: {why(choice)}")
        if choice.objective == "cost":
            lines[-1] += f" (work: {choice.work_core_h:g} core-hours, set it with --work)"
    elif choice.remedy:
        lines.append(choice.remedy)
        for near in choice.nearest:
            lines.append(f"  near: {near.offer.label}, {near.offer.spot_usd_h:.4f} USD/h, excluded by {near.why_not}")
    if seen.taken_at:
        times = ", ".join(f"{kind} {at:%Y-%m-%d %H:%M} UTC" for kind, at in sorted(seen.taken_at.items()))
        lines.append(f"prices of {times}")
    return lines + seen.notes


def as_json(choice: Choice, seen: MarketView, top: int) -> str:
    """Return all terms of the first `top` offers, counts of rejected offers by reason, near misses, and notes."""
    data = choice.model_dump(mode="json")
    data["ranked"] = data["ranked"][:top]
    data["taken_at"] = {kind: at.isoformat() for kind, at in seen.taken_at.items()}
    data["dropped"] = seen.market.dropped
    data["notes"] = seen.notes
    return json.dumps(data, indent=1)


def write_csv(choice: Choice, top: int) -> None:
    """Write the first `top` offers with all terms of the cost to standard output."""
    rows = [_flat(one) for one in choice.ranked[:top]]
    fields = list(Offer.model_fields) + [name for name in Ranked.model_fields if name != "offer"]
    writer = csv.DictWriter(sys.stdout, fields)
    writer.writeheader()
    writer.writerows(rows)


def _flat(one: Ranked) -> dict[str, Any]:
    terms = one.model_dump(mode="json")
    return {**terms.pop("offer"), **terms}


def why_offer(words: list[str], asked: OfferOptions, store: SnapshotStore) -> list[str]:
    """Explain the ranks of the offers that match the words, from the last snapshots.

    Raises ValueError if no offer matches.
    """
    seen = last_market(store, [kind for kind in WINGS if kind != "local"])
    found, choice = explain(
        seen.market,
        words,
        asked.requirements(),
        work_of(asked),
        objective=asked.objective,
        speeds=measured_speeds(store, _KIND),
    )
    if not found:
        raise ValueError(
            f"{' '.join(words)}: no such job, and no such offer in the last snapshots; give a job key (sw-...) or an "
            "offer, e.g. 'm7i.4xlarge us-east-1'"
        )
    lines = [line for one in found for line in _reasons(one, choice)]
    if choice.ranked:
        lines.append(f"first of the ranking: {choice.ranked[0].offer.label}, {why(choice)}")
    return lines


def _reasons(one: Explained, choice: Choice) -> list[str]:
    offer, terms = one.offer, one.ranked
    place = f"place {one.place:,} of {choice.eligible:,}" if one.place else f"not eligible: {one.why_not}"
    measured = "measured in earlier runs" if terms.measured_speed else "assumed"
    return [
        f"{offer.label}: {place}",
        f"  {offer.vcpus} vCPUs on {offer.cores:g} cores, {offer.memory_gib:g} GiB, {offer.spot_usd_h:.4f} USD/h "
        f"(saving {_saving(offer)})",
        f"  interruption {offer.interruption}, taken as {terms.rate:.2g} per hour"
        + (f" ({offer.interruption_basis})" if offer.interruption_basis else ""),
        f"  {choice.work_core_h:g} core-hours at {terms.speed:.2f} a core ({measured}), {terms.waste:.1%} lost to "
        f"interruptions and checkpoints, boot {offer.boot_s:.0f} s: {terms.hours:.2f} h",
        f"  machine {terms.machine_usd:.4f} + disk {terms.disk_usd:.4f} + IP {terms.ip_usd:.4f} + egress "
        f"{terms.egress_usd:.4f} = {terms.expected_usd:.4f} USD to finish",
    ]


def why_job(client: SyncPrefectClient, key: str) -> str | None:
    """Return the table of offers of a job's last attempt, as the UI shows it; None if there is no such job."""
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
        FlowRunFilter,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.sorting import ArtifactSort

    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[key])))
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run.id for run in runs]), key=ArtifactFilterKey(any_=["offers"])
    )
    if not runs:
        return None
    found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    return plain(str(found[0].data), TABLE_CHARS, lines=True) if found else None
