"""The ledger of spending: one note per attempt in the snapshot store, first a reservation, then the actual cost.

    <url>/spending/v1/2026-11/sw-0123456789ab-1.json     by the month of the launch
    <url>/spending/v1/months/2026-11.json                index of the months

A reservation is the highest cost of a machine until it stops itself, so concurrent jobs cannot exceed a limit together.
Each job writes its reservation first and reads the ledger afterwards. Of two that were written at the same moment, the
later one sees the earlier one and gives way, so never do both pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from spotwave.blocks.budget import Budget
from spotwave.blocks.models import Machine
from spotwave.blocks.snapshots import SnapshotStore, StoreUnavailable
from spotwave.blocks.validation import first_problem
from spotwave.node.contract import Limit
from spotwave.node.identity import node_name
from spotwave.node.untrusted.plain_text import plain
from spotwave.tasks.records import Amount, Bill, Cap, Job, Quote

FOLDER = "spending/v1"
_MONTHS = f"{FOLDER}/months"
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")

State = Literal["reserved", "ended", "withdrawn"]


class Entry(BaseModel):
    """One machine of an attempt in the ledger."""

    model_config = ConfigDict(frozen=True)

    job: str
    attempt: int
    node: int = 0  #: which of the attempt's machines; node 0's entry also holds the reservation of the attempt
    project: str
    state: State
    cloud: str = ""  #: empty until a machine was launched
    offer: str = ""
    usd: Amount  #: reserved: maximum; ended: actual cost
    hours: Amount = 0.0
    on_demand_usd: Amount | None = None
    at: datetime  #: of the reservation
    until: datetime  #: reserved: latest time at which the machine stops; ended: when it ended
    quote_usd_p50: Amount | None = None
    quote_usd_p90: Amount | None = None

    @property
    def month(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m}"

    @property
    def name(self) -> str:
        return node_name(self.job, self.attempt, self.node)

    @property
    def order(self) -> tuple[datetime, str]:
        """Sort key: earlier reservations come first."""
        return self.at, self.name


def write(store: SnapshotStore, entry: Entry) -> None:
    """Write an entry; it replaces the attempt's last one. Raises StoreUnavailable."""
    store.note(_MONTHS, entry.month, {"month": entry.month})
    store.note(f"{FOLDER}/{entry.month}", entry.name, entry.model_dump(mode="json"))


def read(store: SnapshotStore, month: str | None = None) -> list[Entry]:
    """Return all entries (of a month), oldest first, without withdrawn ones.

    Raises StoreUnavailable, also for an invalid entry: skipping it would ignore money that was spent.
    """
    months = [month] if month is not None else sorted(_months(store))
    entries = [_entry(one, note) for one in months for note in store.notes(f"{FOLDER}/{one}")]
    return sorted((entry for entry in entries if entry.state != "withdrawn"), key=lambda entry: entry.order)


def _months(store: SnapshotStore) -> set[str]:
    """Return the valid months of the index: any other name could be a folder elsewhere in the store."""
    return {month for one in store.notes(_MONTHS) if _MONTH.fullmatch(month := str(one.get("month")))}


def _entry(month: str, note: dict[str, Any]) -> Entry:
    try:
        return Entry.model_validate(note)
    except ValidationError as error:
        where = f"{plain(str(note.get('job')), 40)}-{plain(str(note.get('attempt')), 10)}"
        raise StoreUnavailable(
            f"store: {FOLDER}/{month} has an invalid ledger entry ({where}, "
            f"{first_problem(error)}). Correct that file or remove it"
        ) from None


def of_job(entries: Iterable[Entry], key: str) -> list[Entry]:
    return [entry for entry in entries if entry.job == key]


def left(mine: Entry, entries: Iterable[Entry], budget: Budget) -> Cap:
    """Return what the tightest limit of the budget leaves for this attempt, after all earlier entries.

    Of the same job's other attempts only ended ones can exist, since attempts run one after another.
    """
    before = [entry for entry in entries if entry.name != mine.name and entry.order < mine.order]
    found: list[Cap] = []
    if budget.usd_per_month is not None:
        counted = [one for one in before if one.month == mine.month and budget.project in ("", one.project)]
        whose = f" of project {budget.project}" if budget.project else ""
        found.append(_left(Limit.MONTH, budget.usd_per_month, counted, f"in {mine.month}{whose}"))
    if budget.usd_per_project is not None:
        counted = [one for one in before if one.project == mine.project]
        found.append(_left(Limit.PROJECT, budget.usd_per_project, counted, f"by project {mine.project}"))
    return min(found)


def _left(limit: Limit, usd: float, counted: list[Entry], where: str) -> Cap:
    spent = sum(one.usd for one in counted if one.state == "ended")
    reserved = sum(one.usd for one in counted if one.state == "reserved")
    message = f"{limit}: of {usd:g} USD, {spent:.4g} are spent {where} and {reserved:.4g} are reserved by running jobs"
    return Cap(max(0.0, usd - spent - reserved), limit, message)


def reservation(job: Job, attempt: int, usd: float, at: float, until: float, quote: Quote | None) -> Entry:
    """Return a reservation. at, until: Unix seconds. A quote for unknown work (one core-hour) is left out."""
    known = quote if quote is not None and quote.known else None
    return Entry(
        job=job.key,
        attempt=attempt,
        project=job.project,
        state="reserved",
        usd=usd,
        at=datetime.fromtimestamp(at, UTC),
        until=datetime.fromtimestamp(until, UTC),
        quote_usd_p50=known.usd_p50 if known else None,
        quote_usd_p90=known.usd_p90 if known else None,
    )


def ended(job: Job, machine: Machine, bill: Bill, at: float, quote: Quote | None) -> Entry:
    """Return the cost of an attempt's machine; it replaces the reservation made at `at` (Unix seconds)."""
    reserved = reservation(job, machine.attempt, 0.0, at, bill.ended_at.timestamp(), quote)
    reserved = reserved.model_copy(update={"node": machine.node})
    return settled(reserved, machine.offer.cloud, machine.offer.label, bill)


def withdrawn(job: Job, attempt: int, at: float, quote: Quote | None) -> Entry:
    """Return the withdrawal of the reservation made at `at` (Unix seconds), for an attempt without a machine."""
    return reservation(job, attempt, 0.0, at, at, quote).model_copy(update={"state": "withdrawn"})


def settled(reserved: Entry, cloud: str, offer: str, bill: Bill) -> Entry:
    """Return the reservation with the actual cost."""
    changes = {
        "state": "ended",
        "cloud": cloud,
        "offer": offer,
        "usd": bill.usd,
        "hours": bill.seconds / 3600,
        "on_demand_usd": bill.on_demand_usd,
        "until": bill.ended_at,
    }
    return Entry.model_validate({**dict(reserved), **changes})  # model_copy would not validate the changes
