"""A job's receipt against what the emulated cloud has billed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.emulators.ledger import Ledger

if TYPE_CHECKING:
    from tests.flows.clouds_kit import CloudJob

WITHIN = 0.02
# Where a cloud does not tell when a machine ended, its end is when the controller saw it: within seconds, or a minute
# or two later where the server's SQLite stands still meanwhile.
SEEN_S = 150.0


def receipt_in(folder: Path) -> dict[str, Any]:
    """As it was kept when the job ended, however that was. folder: of its results."""
    found = json.loads((folder / "receipt.json").read_text())
    assert isinstance(found, dict)
    return found


def wrong_with(told: dict[str, Any], ledger: Ledger) -> str | None:
    """None within 2 %, all attempts together: machines, disks and addresses; else what is wrong, in a line.

    Egress is left out: an emulator does not see what a machine sends. Seconds that pass before the controller sees an
    end that no cloud tells of are nothing on a bill of hours, but much on one of half a minute: they are allowed for,
    and only upwards.
    """
    ids = [attempt["machine"] for attempt in told["attempts"]]
    if len(set(ids)) != len(ids):
        return "a machine is on the receipt twice"
    items = [item for id_ in ids for item in ledger.of_machine(id_)]
    if [item.kind for item in items].count("machine") != len(ids):
        return "the ledger does not know a machine of the receipt"
    if any(item.ended is None for item in items):
        return "something of a machine on the receipt still bills"
    said, billed = told["cost"]["usd"] - told["cost"]["parts"]["egress_usd"], sum(item.usd for item in items)
    unseen = sum(
        SEEN_S / 3600 * sum(item.usd_h for item in ledger.of_machine(attempt["machine"]))
        for attempt in told["attempts"]
        if not attempt["bill"]["end_told"]
    )
    if abs(said - billed) <= WITHIN * billed or billed < said <= billed + unseen:
        return None
    rows = [
        f"{a['ending']}: {a['usd']:.6f} for {a['bill']['seconds']} s, billed {_usd(ledger, a['machine']):.6f}"
        for a in told["attempts"]
    ]
    return f"receipt {said:.6f} USD, ledger {billed:.6f} USD ({'; '.join(rows)})"


def assert_receipt_matches(job: CloudJob) -> None:
    wrong = wrong_with(receipt_in(job.home.results / job.key), job.cloud.emulator.ledger)
    assert wrong is None, wrong


def _usd(ledger: Ledger, id_: str) -> float:
    return sum(item.usd for item in ledger.of_machine(id_))
